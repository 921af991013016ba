//! A secret as the index keeps it: all of it in one piece of memory, which takes less than a [`Secret`].
//!
//! What orders, filters and searches look at is at hand. For the rest a secret is unpacked.

use std::sync::Arc;

use triomphe::ThinArc;

use super::packed_rest::{Others, pack_rest, unpack_rest};
use crate::domain::{
    Description, Metadata, Minute, Namespace, Revision, Secret, SecretId, SecretName, Timestamp,
};

/// A secret of the index's namespace. A clone is the same piece of memory.
#[derive(Clone)]
pub(in crate::catalog) struct PackedSecret(ThinArc<Fixed, u8>);

/// What has one size in every secret. The name, the description, the metadata and the rest stand behind it, in this order.
struct Fixed {
    id: SecretId,
    created_at: Timestamp,
    updated_at: Timestamp,
    stored_at: Revision,
    version: u32,
    last_read: Option<Minute>,
    name_bytes: u8,
    is_deleted: bool,
    description_bytes: u16,
    stored_versions: u16,
    metadata_bytes: u16,
}

impl PackedSecret {
    /// Packs a secret. `None` where no record holds such a secret, since one of its parts is larger than its limit.
    pub(super) fn of(secret: &Secret) -> Option<Self> {
        let (name, description) = (secret.name.as_str(), secret.description.as_str());
        let metadata = secret.metadata.as_packed();
        let fixed = Fixed {
            id: secret.id,
            created_at: secret.created_at,
            updated_at: secret.updated_at,
            stored_at: secret.stored_at,
            version: secret.version,
            last_read: secret.last_read,
            name_bytes: name.len().try_into().ok()?,
            is_deleted: secret.is_deleted(),
            description_bytes: description.len().try_into().ok()?,
            stored_versions: secret.stored_versions().count().try_into().ok()?,
            metadata_bytes: metadata.len().try_into().ok()?,
        };
        let texts = [name, description, metadata];
        let mut bytes = Vec::with_capacity(texts.iter().map(|text| text.len()).sum::<usize>() + 64);
        texts.iter().for_each(|text| bytes.extend_from_slice(text.as_bytes()));
        pack_rest(secret, &mut bytes)?;
        Some(Self(ThinArc::from_header_and_slice(fixed, &bytes)))
    }

    /// The secret, in the index's namespace. `None` only where [`PackedSecret::of`] has a defect.
    pub(in crate::catalog) fn unpack(&self, namespace: &Namespace) -> Option<Arc<Secret>> {
        self.unpack_with(namespace, Others::All)
    }

    /// The same with few of its versions: the current one, the pending one, and the one of that number.
    pub(in crate::catalog) fn unpack_briefly(
        &self,
        namespace: &Namespace,
        number: Option<u32>,
    ) -> Option<Arc<Secret>> {
        self.unpack_with(namespace, number.map_or(Others::None, Others::Numbered))
    }

    fn unpack_with(&self, namespace: &Namespace, others: Others) -> Option<Arc<Secret>> {
        let fixed = self.fixed();
        let (name, rest) = self.bytes().split_at_checked(fixed.name_bytes.into())?;
        let (description, rest) = rest.split_at_checked(fixed.description_bytes.into())?;
        let (metadata, rest) = rest.split_at_checked(fixed.metadata_bytes.into())?;
        let rest = unpack_rest(rest, fixed.created_at, fixed.stored_at, others)?;
        Some(Arc::new(Secret {
            namespace: namespace.clone(),
            name: SecretName::parse(text(name)).ok()?,
            id: fixed.id,
            description: Description::parse(text(description)).ok()?,
            metadata: Metadata::from_packed(text(metadata)),
            version: fixed.version,
            versions: rest.versions,
            created_at: fixed.created_at,
            updated_at: fixed.updated_at,
            rotated_at: rest.rotated_at,
            expires_at: rest.expires_at,
            expiry_told: rest.expiry_told,
            rotation: rest.rotation,
            deletion: rest.deletion,
            revision: rest.revision,
            stored_at: fixed.stored_at,
            last_read: fixed.last_read,
        }))
    }

    pub(super) fn id(&self) -> SecretId {
        self.fixed().id
    }

    pub(super) fn id_ref(&self) -> &SecretId {
        &self.fixed().id
    }

    pub(super) fn created_at(&self) -> Timestamp {
        self.fixed().created_at
    }

    pub(super) fn updated_at(&self) -> Timestamp {
        self.fixed().updated_at
    }

    pub(super) fn stored_at(&self) -> Revision {
        self.fixed().stored_at
    }

    pub(super) fn last_read(&self) -> Option<Minute> {
        self.fixed().last_read
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.fixed().is_deleted
    }

    /// How many versions have a stored value.
    pub(super) fn stored_versions(&self) -> usize {
        self.fixed().stored_versions.into()
    }

    /// The name. Names are ASCII, so they have the order of their bytes.
    pub(super) fn name(&self) -> &[u8] {
        self.bytes().get(..self.fixed().name_bytes.into()).unwrap_or_default()
    }

    /// The name as text.
    pub(in crate::catalog) fn name_text(&self) -> &str {
        text(self.name())
    }

    /// The metadata as [`Metadata::pairs_of`] takes it.
    pub(super) fn metadata_text(&self) -> &str {
        let fixed = self.fixed();
        let begin = usize::from(fixed.name_bytes) + usize::from(fixed.description_bytes);
        let end = begin + usize::from(fixed.metadata_bytes);
        text(self.bytes().get(begin..end).unwrap_or_default())
    }

    /// The pairs of the metadata, in the order of their keys.
    pub(super) fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        Metadata::pairs_of(self.metadata_text())
    }

    /// Whether the name begins with a prefix, and the secret has these pairs among others.
    pub(in crate::catalog) fn matches(&self, prefix: &str, pairs: &Metadata) -> bool {
        // The text of all its pairs is checked once, and only where pairs are asked for.
        let mut own = None;
        self.name().starts_with(prefix.as_bytes())
            && pairs.iter().all(|pair| {
                let own = *own.get_or_insert_with(|| self.metadata_text());
                Metadata::pairs_of(own).any(|present| present == pair)
            })
    }

    /// Whether the secret was created before that time, and no value of it was read since.
    pub(super) fn is_unused_since(&self, since: Timestamp) -> bool {
        self.created_at() < since && self.last_read().is_none_or(|read| read.is_before(since))
    }

    /// About how many bytes the secret has in a message.
    pub(super) fn message_bytes(&self) -> usize {
        let fixed = self.fixed();
        let pairs = self.metadata().count();
        let texts = usize::from(fixed.name_bytes) + usize::from(fixed.description_bytes);
        256 + texts + usize::from(fixed.metadata_bytes) + 8 * pairs
    }

    fn fixed(&self) -> &Fixed {
        &self.0.header.header
    }

    fn bytes(&self) -> &[u8] {
        &self.0.slice
    }
}

/// What was packed as text.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
