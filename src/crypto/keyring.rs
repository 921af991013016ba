use zeroize::Zeroizing;

use super::aead::{Error, KeyBytes, Mac, MacKey, Opened, PublicKey, Signature, SigningKey};
use super::envelope::{Place, Purpose, RecordKey, SealingKey, SealingKeys, format_of};
use super::field_reader::FieldReader;
use super::generation::{Generation, Generations};
use super::master_key::{KeyId, MasterKeys};
use super::wrap::OpenedKeyring;
use crate::domain::Namespace;

/// The keys of the store as a whole. The store holds them, sealed by the master key.
///
/// In the clear: index key (32 bytes); for each generation of the sealing key, oldest first: number (4,
/// big-endian), the count of seals at which it was made (8), key (32). In format 1: index key, number and key of
/// one generation.
pub struct Keyring {
    index: KeyBytes,
    generations: Generations,
    /// The ids of the master keys that open its record.
    masters: Vec<KeyId>,
    namespaces: MacKey,
    credentials: MacKey,
    roles: MacKey,
    implied_bindings: MacKey,
    requests: MacKey,
    queries: MacKey,
    anchors: MacKey,
    audit_names: MacKey,
    elements: MacKey,
    signing: SigningKey,
    sealing: SealingKeys,
    /// Seals idempotency records and digests. Callers determine their number, so they do not use up the key of the
    /// other records.
    idempotency_sealing: SealingKeys,
    digest_sealing: SealingKeys,
    /// Seals records of usage, whose number callers determine too.
    usage_sealing: SealingKeys,
    /// Seals events, of which each change of a secret has one.
    event_sealing: SealingKeys,
    tokens: KeyBytes,
    audit: KeyBytes,
}

impl Keyring {
    /// A new keyring, and its record.
    pub fn create(masters: &MasterKeys) -> Result<(Self, Vec<u8>), Error> {
        let keyring = Self::of(KeyBytes::generate()?, Generations::first(0)?, vec![masters.current_id()?])?;
        let record = keyring.seal_with(masters, &keyring.generations.encode(), &[])?;
        Ok((keyring, record))
    }

    /// Opens a record with one of these master keys.
    pub fn open(masters: &MasterKeys, record: &[u8]) -> Result<Self, Error> {
        let OpenedKeyring { clear, wraps, .. } = masters.open_keyring(record)?;
        let mut parts = FieldReader(&clear);
        let index = parts.key()?;
        let generations = match format_of(record) {
            Some(1) => {
                Generations::of(vec![Generation { number: parts.number()?, since: 0, key: parts.key()? }])
            }
            _ => Generations::decode(parts.0),
        };
        Self::of(index, generations?, wraps)
    }

    /// The record of this keyring with one more generation, which seals from then on. The master key in use opens
    /// it, and every master key that opened it before.
    pub fn begin_rotation(&self, masters: &MasterKeys, since: u64) -> Result<Vec<u8>, Error> {
        self.seal_with(masters, &self.generations.encode_with_next(since)?, &self.masters)
    }

    /// The record of this keyring with the newest generation alone. Only the master key in use opens it.
    pub fn end_rotation(&self, masters: &MasterKeys) -> Result<Vec<u8>, Error> {
        self.seal_with(masters, &self.generations.encode_newest()?, &[])
    }

    /// The record of this keyring unchanged, in the newest format.
    pub fn reseal(&self, masters: &MasterKeys) -> Result<Vec<u8>, Error> {
        self.seal_with(masters, &self.generations.encode(), &self.masters)
    }

    /// The ids of the master keys that open its record.
    pub fn masters(&self) -> &[KeyId] {
        &self.masters
    }

    /// The generations of the sealing key in use, oldest first.
    pub fn generations(&self) -> Vec<u32> {
        self.generations.numbers()
    }

    /// How many seals the store had seen when the newest generation was made.
    pub fn since(&self) -> u64 {
        self.generations.newest().map_or(0, |newest| newest.since)
    }

    /// The HMAC of a namespace's name, which is part of the namespace's key in the store.
    pub fn namespace_mac(&self, namespace: &Namespace) -> Mac {
        self.namespaces.tag(&[namespace.as_str().as_bytes()])
    }

    /// The HMAC of a role's name, which is part of the role's key in the store.
    pub fn role_mac(&self, role: &str) -> Mac {
        self.roles.tag(&[role.as_bytes()])
    }

    /// The HMAC of an API key's id, with which the id of the key's implied binding begins.
    pub fn implied_binding_mac(&self, key: &[u8]) -> Mac {
        self.implied_bindings.tag(&[key])
    }

    /// The HMAC of a credential. The store holds nothing else of it.
    pub fn credential_mac(&self, secret: &[u8]) -> Mac {
        self.credentials.tag(&[secret])
    }

    /// Whether this is the HMAC of that credential. Compares in constant time.
    pub fn is_credential(&self, secret: &[u8], mac: &Mac) -> bool {
        self.credentials.verify(&[secret], mac)
    }

    /// The HMAC over the principal and id of a request, which is part of its idempotency record's key, or over its
    /// body.
    pub fn request_mac(&self, parts: &[&[u8]]) -> Mac {
        self.requests.tag(parts)
    }

    /// The HMAC over a query, to which its page tokens are bound.
    pub fn query_mac(&self, parts: &[&[u8]]) -> Mac {
        self.queries.tag(parts)
    }

    /// Whether this is the HMAC of these parts. Compares in constant time.
    pub fn is_request_mac(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        mac.try_into().is_ok_and(|mac: &Mac| self.requests.verify(parts, mac))
    }

    /// The element of the store's digest for a record: the HMAC of its key and its mark.
    pub fn element_mac(&self, parts: &[&[u8]]) -> Mac {
        self.elements.tag(parts)
    }

    /// The HMAC of a name of this kind, for audit records that show fingerprints. The same for the life of a store.
    pub fn audit_name_mac(&self, kind: &'static str, name: &str) -> Mac {
        self.audit_names.tag(&[kind.as_bytes(), name.as_bytes()])
    }

    /// Whether this is the HMAC over the parts of an anchor. Compares in constant time.
    pub fn is_anchor_mac(&self, parts: &[&[u8]], mac: &Mac) -> bool {
        self.anchors.verify(parts, mac)
    }

    /// The HMAC over the parts of an anchor, or of a fingerprint of the digest.
    pub fn anchor_mac(&self, parts: &[&[u8]]) -> Mac {
        self.anchors.tag(parts)
    }

    /// Signs a statement of the service.
    pub fn sign(&self, statement: &[u8]) -> Result<Signature, Error> {
        self.signing.sign(statement)
    }

    /// The key that verifies the service's signatures. It never changes during the life of a store.
    pub fn public_key(&self) -> &PublicKey {
        self.signing.public()
    }

    /// Seals a record that belongs to no namespace.
    pub fn seal(&self, purpose: Purpose, id: &[u8], record: &[u8]) -> Result<Vec<u8>, Error> {
        self.sealing_keys(purpose).seal(Place { purpose, namespace: None, id, version: 0 }, record)
    }

    /// Opens a record that belongs to no namespace.
    pub fn open_record(&self, purpose: Purpose, id: &[u8], sealed: &[u8]) -> Result<Opened, Error> {
        self.sealing_keys(purpose).open(Place { purpose, namespace: None, id, version: 0 }, sealed)
    }

    /// Whether a record that belongs to no namespace is sealed by the newest generation.
    pub fn is_newest(&self, purpose: Purpose, sealed: &[u8]) -> bool {
        self.sealing_keys(purpose).is_newest(sealed)
    }

    /// Seals a page token with a key of its own: no commit counts the tokens that leave the service. A token is
    /// salt (16 bytes), then a sealed record of generation 0.
    pub fn seal_token(&self, query: &Mac, token: &[u8]) -> Result<Vec<u8>, Error> {
        let salt: [u8; 16] = super::random()?;
        seal_with_salt(&salt, &self.token_key(&salt)?, token_place(query), token)
    }

    /// Opens a page token of this query.
    pub fn open_token(&self, query: &Mac, sealed: &[u8]) -> Result<Opened, Error> {
        let (salt, sealed) = sealed.split_first_chunk().ok_or(Error::Integrity)?;
        self.token_key(salt)?.open(token_place(query), sealed)
    }

    /// Seals a record for an audit log, or a heartbeat, with a key of its own, which no rekey changes: the server of the log can be down
    /// meanwhile. The form is that of a token: salt (16 bytes), then a sealed record of generation 0.
    pub fn seal_for_audit(&self, purpose: Purpose, id: &[&[u8]], record: &[u8]) -> Result<Vec<u8>, Error> {
        let (salt, id): ([u8; 16], _) = (super::random()?, id.concat());
        let place = Place { purpose, namespace: None, id: &id, version: 0 };
        seal_with_salt(&salt, &self.audit_key(&salt)?, place, record)
    }

    /// Opens a record for an audit log.
    pub fn open_for_audit(&self, purpose: Purpose, id: &[&[u8]], sealed: &[u8]) -> Result<Opened, Error> {
        let (salt, sealed) = sealed.split_first_chunk().ok_or(Error::Integrity)?;
        let id = id.concat();
        let place = Place { purpose, namespace: None, id: &id, version: 0 };
        self.audit_key(salt)?.open(place, sealed)
    }

    fn audit_key(&self, salt: &[u8; 16]) -> Result<RecordKey, Error> {
        RecordKey::new(0, &self.audit.derive_for("strongroom v1 audit record", salt)?)
    }

    fn token_key(&self, salt: &[u8; 16]) -> Result<RecordKey, Error> {
        RecordKey::new(0, &self.tokens.derive_for("strongroom v1 page token", salt)?)
    }

    fn sealing_keys(&self, purpose: Purpose) -> &SealingKeys {
        match purpose {
            Purpose::IdempotencyRecord => &self.idempotency_sealing,
            Purpose::Digest => &self.digest_sealing,
            Purpose::SecretUsage | Purpose::KeyUsage | Purpose::BindingUsage => &self.usage_sealing,
            Purpose::Event | Purpose::HistoryStart => &self.event_sealing,
            Purpose::Keyring
            | Purpose::ApiKey
            | Purpose::Role
            | Purpose::Binding
            | Purpose::AccessEpoch
            | Purpose::Namespace
            | Purpose::Name
            | Purpose::Secret
            | Purpose::DataKey
            | Purpose::Value
            | Purpose::PageToken
            | Purpose::AuditRecord
            | Purpose::AuditAnchor
            | Purpose::Heartbeat
            | Purpose::BackupKey
            | Purpose::BackupPart => &self.sealing,
        }
    }

    fn seal_with(&self, masters: &MasterKeys, generations: &[u8], also: &[KeyId]) -> Result<Vec<u8>, Error> {
        let mut clear = Zeroizing::new(Vec::with_capacity(32 + generations.len()));
        clear.extend_from_slice(self.index.expose());
        clear.extend_from_slice(generations);
        masters.seal_keyring(&clear, also)
    }

    fn of(index: KeyBytes, generations: Generations, masters: Vec<KeyId>) -> Result<Self, Error> {
        let mac = |purpose| index.derive(purpose).map(|key| MacKey::new(&key));
        Ok(Self {
            namespaces: mac("strongroom v1 namespace names")?,
            credentials: mac("strongroom v1 credentials")?,
            roles: mac("strongroom v1 role names")?,
            implied_bindings: mac("strongroom v1 implied bindings")?,
            requests: mac("strongroom v1 receipts")?,
            queries: mac("strongroom v1 queries")?,
            anchors: mac("strongroom v1 anchors")?,
            audit_names: mac("strongroom v1 names in audit records")?,
            signing: SigningKey::new(&index.derive("strongroom v1 signatures")?)?,
            elements: mac("strongroom v1 digest elements")?,
            sealing: generations.sealing(None)?,
            idempotency_sealing: generations.sealing(Some("strongroom v1 sealed receipts"))?,
            digest_sealing: generations.sealing(Some("strongroom v1 sealed digests"))?,
            usage_sealing: generations.sealing(Some("strongroom v1 sealed usage"))?,
            event_sealing: generations.sealing(Some("strongroom v1 sealed events"))?,
            tokens: index.derive("strongroom v1 page tokens")?, // they outlive a rekey
            audit: index.derive("strongroom v1 audit records")?, // those of a server that is down do, too
            index,
            generations,
            masters,
        })
    }
}

/// The place of the keyring in format 1.
pub(super) const KEYRING: Place<'_> =
    Place { purpose: Purpose::Keyring, namespace: None, id: b"keyring", version: 0 };

/// Seals a record with the key of a salt, which stands before it.
fn seal_with_salt(
    salt: &[u8; 16],
    key: &RecordKey,
    place: Place<'_>,
    record: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut sealed = Vec::with_capacity(salt.len() + SealingKey::sealed_len(record.len()));
    sealed.extend_from_slice(salt);
    key.seal_onto(&mut sealed, place, record)?;
    Ok(sealed)
}

fn token_place(query: &Mac) -> Place<'_> {
    Place { purpose: Purpose::PageToken, namespace: None, id: query, version: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyring_opens_with_its_own_master_key_only() {
        let master = MasterKeys::generate().unwrap();
        let (created, record) = Keyring::create(&master).unwrap();
        let opened = Keyring::open(&master, &record).unwrap();
        let namespace = Namespace::default_namespace();
        assert_eq!(created.namespace_mac(&namespace), opened.namespace_mac(&namespace));
        assert!(Keyring::open(&MasterKeys::generate().unwrap(), &record).is_err());
    }

    #[test]
    fn a_rotated_keyring_opens_what_each_generation_sealed_until_it_is_let_go() {
        let master = MasterKeys::generate().unwrap();
        let (first, _) = Keyring::create(&master).unwrap();
        let old = first.seal(Purpose::ApiKey, b"id", b"key").unwrap();
        let both = Keyring::open(&master, &first.begin_rotation(&master, 7).unwrap()).unwrap();
        assert_eq!((both.generations(), both.since()), (vec![1, 2], 7));
        assert!(!both.is_newest(Purpose::ApiKey, &old));
        let new = both.seal(Purpose::ApiKey, b"id", b"key").unwrap();
        assert_eq!(both.open_record(Purpose::ApiKey, b"id", &old).unwrap().as_slice(), b"key");
        assert!(
            both.is_newest(Purpose::ApiKey, &new) && first.open_record(Purpose::ApiKey, b"id", &new).is_err()
        );
        let last = Keyring::open(&master, &both.end_rotation(&master).unwrap()).unwrap();
        assert_eq!(last.generations(), [2]);
        assert!(last.open_record(Purpose::ApiKey, b"id", &new).is_ok());
        assert!(last.open_record(Purpose::ApiKey, b"id", &old).is_err());
    }

    #[test]
    fn a_page_token_opens_for_its_query_only() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let (query, other) = (keyring.query_mac(&[b"a"]), keyring.query_mac(&[b"b"]));
        let token = keyring.seal_token(&query, b"token").unwrap();
        assert_eq!(keyring.open_token(&query, &token).unwrap().as_slice(), b"token");
        assert!(keyring.open_token(&other, &token).is_err());
        for at in 0..token.len() {
            let mut altered = token.clone();
            altered[at] ^= 1;
            assert!(keyring.open_token(&query, &altered).is_err());
        }
    }
}
