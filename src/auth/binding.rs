//! Bindings: each gives a principal the rights of a role on a scope, or denies them.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use prost::Message;

use super::api_key::{ApiKey, ApiKeyId};
use super::pattern::{NamePattern, NamespacePattern, Scope};
use super::principal::PrincipalName;
use super::role::{BuiltInRole, RoleName};
use crate::crypto::{Error, Keyring, Purpose, random};
use crate::domain::{Description, Invalid, Revision, Timestamp};
use crate::schema::BindingRecord;

/// A binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Its id.
    pub id: BindingId,
    /// The principal, or the group of principals, that it is for.
    pub principal: PrincipalName,
    /// The role whose rights it gives or denies.
    pub role: RoleName,
    /// What it is about.
    pub scope: Scope,
    /// Whether it gives the rights or denies them.
    pub effect: Effect,
    /// When it was created.
    pub created_at: Timestamp,
    /// From when on it counts no more; `None`: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// What it is for.
    pub description: Description,
    /// The store's revision of the last change to the record.
    pub revision: Revision,
}

/// Whether a binding gives rights or denies them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It gives them.
    Allow,
    /// It denies them, whatever other bindings give.
    Deny,
}

impl Binding {
    /// A binding that a release without bindings implied, or the first one of a new store: the root key has every right, and every
    /// other key does everything with the secrets of its home. It is not in the store yet. Its id comes from that of the key, so
    /// that several replicas make the same one.
    pub fn implied_by(keyring: &Keyring, key: &ApiKey, created_at: Timestamp) -> Self {
        let (role, scope) = if key.root {
            (BuiltInRole::Admin, Scope::everything())
        } else {
            (BuiltInRole::Editor, Scope::of_namespace(key.home.clone()))
        };
        Self {
            id: BindingId::implied_by(keyring, key.id),
            principal: PrincipalName::ApiKey(key.id),
            role: RoleName::of(role),
            scope,
            effect: Effect::Allow,
            created_at,
            expires_at: None,
            description: Description::default(),
            revision: Revision::default(),
        }
    }

    /// Whether it counts at `now`.
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// The sealed record of the binding, as the store keeps it.
    pub fn seal(&self, keyring: &Keyring) -> Result<Vec<u8>, Error> {
        keyring.seal(Purpose::Binding, &self.id.0, &self.record().encode_to_vec())
    }

    /// Opens the sealed record that the commit with this revision put at the binding's id. Fails with [`Error::Integrity`] where
    /// the keyring did not seal the record for this id.
    pub fn open(keyring: &Keyring, id: BindingId, sealed: &[u8], revision: Revision) -> Result<Self, Error> {
        let clear = keyring.open_record(Purpose::Binding, &id.0, sealed)?;
        let record = BindingRecord::decode(clear.as_slice()).map_err(|_| Error::Integrity)?;
        Self::of_record(id, &record, revision).ok_or(Error::Integrity)
    }

    /// The binding in the clear.
    pub fn record(&self) -> BindingRecord {
        BindingRecord {
            principal: self.principal.to_string(),
            role: self.role.to_string(),
            namespaces: self.scope.namespaces.to_string(),
            names: self.scope.names.to_string(),
            deny: self.effect == Effect::Deny,
            created_at: self.created_at.as_micros(),
            expires_at: self.expires_at.map(Timestamp::as_micros),
            description: self.description.as_str().to_owned(),
        }
    }

    /// The binding of a record in the clear; `None` where the record holds none.
    pub fn of_record(id: BindingId, record: &BindingRecord, revision: Revision) -> Option<Self> {
        Some(Self {
            id,
            principal: PrincipalName::parse(&record.principal).ok()?,
            role: RoleName::parse(&record.role).ok()?,
            scope: Scope {
                namespaces: NamespacePattern::parse(&record.namespaces).ok()?,
                names: NamePattern::parse(&record.names).ok()?,
            },
            effect: if record.deny { Effect::Deny } else { Effect::Allow },
            created_at: Timestamp::from_micros(record.created_at),
            expires_at: record.expires_at.map(Timestamp::from_micros),
            description: Description::parse(&record.description).ok()?,
            revision,
        })
    }
}

/// The id of a binding: 10 bytes. As text: 16 lower-case letters and digits, as the id of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindingId(pub [u8; 10]);

impl BindingId {
    /// A new, random id. Fails where the system has no randomness.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self(random()?))
    }

    /// The id of the binding that a release without bindings implied for a key.
    fn implied_by(keyring: &Keyring, key: ApiKeyId) -> Self {
        let mac = keyring.implied_binding_mac(&key.0);
        Self(mac.first_chunk().copied().unwrap_or_default())
    }

    /// Parses the text form. Upper-case letters are refused.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let id = ApiKeyId::parse(text);
        id.map(|id| Self(id.0)).map_err(|_| Invalid::new("must be the 16 characters of a binding's id"))
    }
}

impl fmt::Display for BindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKeys;

    #[test]
    fn a_binding_opens_at_its_own_id_only() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let binding = Binding {
            id: BindingId([7; 10]),
            principal: PrincipalName::group("corp", "ops").unwrap(),
            role: RoleName::parse("reader").unwrap(),
            scope: Scope {
                namespaces: NamespacePattern::parse("team/**").unwrap(),
                names: NamePattern::parse("db_*").unwrap(),
            },
            effect: Effect::Deny,
            created_at: Timestamp::from_micros(1),
            expires_at: Some(Timestamp::from_micros(10)),
            description: Description::parse("what for").unwrap(),
            revision: Revision(4),
        };
        let sealed = binding.seal(&keyring).unwrap();
        assert_eq!(Binding::open(&keyring, binding.id, &sealed, Revision(4)).unwrap(), binding);
        assert!(Binding::open(&keyring, BindingId([8; 10]), &sealed, Revision(4)).is_err());
        assert!(binding.in_force(Timestamp::from_micros(9)) && !binding.in_force(Timestamp::from_micros(10)));
        assert_eq!(BindingId::parse(&binding.id.to_string()).unwrap(), binding.id);
    }
}
