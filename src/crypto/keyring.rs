use zeroize::Zeroizing;

use super::aead::{Error, KeyBytes, Mac, MacKey, Opened};
use super::envelope::{Place, Purpose, SealingKey};
use super::master_key::MasterKeys;
use crate::domain::{Namespace, SecretName};
use crate::store::key::NamespaceId;

/// The generation of a key that has never been rotated.
const FIRST_GENERATION: u32 = 1;

/// The keys of the store as a whole. Kept in the store, sealed by the master key.
///
/// In the clear it is: index key (32 bytes), then for each generation its number (4, big-endian) and key (32).
pub struct Keyring {
    namespaces: MacKey,
    credentials: MacKey,
    receipts: MacKey,
    queries: MacKey,
    sealing: SealingKey,
    /// Receipts and page tokens are made at the callers' pace, so they do not use up the key of the records.
    receipt_sealing: SealingKey,
    token_sealing: SealingKey,
}

impl Keyring {
    /// New keys, and the record that keeps them.
    pub fn create(masters: &MasterKeys) -> Result<(Self, Vec<u8>), Error> {
        let (index, sealing) = (KeyBytes::generate()?, KeyBytes::generate()?);
        let mut clear = Zeroizing::new(Vec::with_capacity(68));
        clear.extend_from_slice(index.expose());
        clear.extend_from_slice(&FIRST_GENERATION.to_be_bytes());
        clear.extend_from_slice(sealing.expose());
        let record = masters.seal_keyring(&clear, &[])?;
        Ok((Self::of(&index, FIRST_GENERATION, &sealing)?, record))
    }

    /// The keys in a record that one of these master keys opens.
    pub fn open(masters: &MasterKeys, record: &[u8]) -> Result<Self, Error> {
        let clear = masters.open_keyring(record)?.clear;
        let mut parts = Parts(&clear);
        let index = parts.key()?;
        let generation = parts.generation()?;
        let sealing = parts.key()?;
        Self::of(&index, generation, &sealing)
    }

    /// The HMAC of a namespace's name, which its key in the store holds.
    pub fn namespace_mac(&self, namespace: &Namespace) -> Mac {
        self.namespaces.tag(&[namespace.as_str().as_bytes()])
    }

    /// The HMAC of a credential: all that is kept of it.
    pub fn credential_mac(&self, secret: &[u8]) -> Mac {
        self.credentials.tag(&[secret])
    }

    /// Whether this is the credential of that HMAC, in a time that tells nothing of either.
    pub fn is_credential(&self, secret: &[u8], mac: &Mac) -> bool {
        self.credentials.verify(&[secret], mac)
    }

    /// The HMAC over an idempotent request's principal and id, which its receipt's key holds, or over its body.
    pub fn request_mac(&self, parts: &[&[u8]]) -> Mac {
        self.receipts.tag(parts)
    }

    /// The HMAC over a query, to which page tokens are bound.
    pub fn query_mac(&self, parts: &[&[u8]]) -> Mac {
        self.queries.tag(parts)
    }

    /// Seals a record that belongs to no namespace.
    pub fn seal(&self, purpose: Purpose, id: &[u8], record: &[u8]) -> Result<Vec<u8>, Error> {
        self.sealing_key(purpose).seal(Place { purpose, namespace: None, id, version: 0 }, record)
    }

    /// Opens a record that belongs to no namespace.
    pub fn open_record(&self, purpose: Purpose, id: &[u8], sealed: &[u8]) -> Result<Opened, Error> {
        self.sealing_key(purpose).open(Place { purpose, namespace: None, id, version: 0 }, sealed)
    }

    fn sealing_key(&self, purpose: Purpose) -> &SealingKey {
        match purpose {
            Purpose::Receipt => &self.receipt_sealing,
            Purpose::PageToken => &self.token_sealing,
            Purpose::Keyring
            | Purpose::ApiKey
            | Purpose::Namespace
            | Purpose::Name
            | Purpose::Secret
            | Purpose::DataKey
            | Purpose::Value
            | Purpose::BackupKey
            | Purpose::BackupPart => &self.sealing,
        }
    }

    fn of(index: &KeyBytes, generation: u32, sealing: &KeyBytes) -> Result<Self, Error> {
        let mac = |purpose| index.derive(purpose).map(|key| MacKey::new(&key));
        Ok(Self {
            namespaces: mac("strongroom v1 namespace names")?,
            credentials: mac("strongroom v1 credentials")?,
            receipts: mac("strongroom v1 receipts")?,
            queries: mac("strongroom v1 queries")?,
            sealing: SealingKey::new(generation, sealing)?,
            receipt_sealing: SealingKey::new(generation, &sealing.derive("strongroom v1 sealed receipts")?)?,
            token_sealing: SealingKey::new(generation, &sealing.derive("strongroom v1 page tokens")?)?,
        })
    }
}

/// Where the keyring stands in format 1.
pub(super) const KEYRING: Place<'_> =
    Place { purpose: Purpose::Keyring, namespace: None, id: b"keyring", version: 0 };

/// The keys of one namespace. Kept in the store with its name, sealed by the keyring.
///
/// In the clear it is: id (16 bytes), index key (32), generation (4, big-endian), key (32), the namespace's name.
pub struct NamespaceKeys {
    id: NamespaceId,
    names: MacKey,
    sealing: SealingKey,
}

impl NamespaceKeys {
    /// New keys for a namespace, and the record that keeps them.
    pub fn create(keyring: &Keyring, namespace: &Namespace) -> Result<(Self, Vec<u8>), Error> {
        let id = NamespaceId(super::random()?);
        let (index, sealing) = (KeyBytes::generate()?, KeyBytes::generate()?);
        let name = namespace.as_str().as_bytes();
        let mut clear = Zeroizing::new(Vec::with_capacity(84 + name.len()));
        clear.extend_from_slice(&id.0);
        clear.extend_from_slice(index.expose());
        clear.extend_from_slice(&FIRST_GENERATION.to_be_bytes());
        clear.extend_from_slice(sealing.expose());
        clear.extend_from_slice(name);
        let record = keyring.seal(Purpose::Namespace, &keyring.namespace_mac(namespace), &clear)?;
        Ok((Self::of(id, &index, FIRST_GENERATION, &sealing)?, record))
    }

    /// The namespace and its keys, in the record that stands at the HMAC of its name.
    pub fn open(keyring: &Keyring, mac: &Mac, record: &[u8]) -> Result<(Namespace, Self), Error> {
        let clear = keyring.open_record(Purpose::Namespace, mac, record)?;
        let mut parts = Parts(&clear);
        let id = NamespaceId(*parts.take()?);
        let index = parts.key()?;
        let generation = parts.generation()?;
        let sealing = parts.key()?;
        let name = std::str::from_utf8(parts.0).map_err(|_| Error::Integrity)?;
        let namespace = Namespace::parse(name).map_err(|_| Error::Integrity)?;
        Ok((namespace, Self::of(id, &index, generation, &sealing)?))
    }

    /// Which namespace these are the keys of.
    pub fn id(&self) -> NamespaceId {
        self.id
    }

    /// The HMAC of a secret's name, which its key in the store holds.
    pub fn name_mac(&self, name: &SecretName) -> Mac {
        self.names.tag(&[name.as_str().as_bytes()])
    }

    /// Seals a record of this namespace.
    pub fn seal(&self, purpose: Purpose, id: &[u8], record: &[u8]) -> Result<Vec<u8>, Error> {
        self.sealing.seal(self.place(purpose, id, 0), record)
    }

    /// Opens a record of this namespace.
    pub fn open_record(&self, purpose: Purpose, id: &[u8], sealed: &[u8]) -> Result<Opened, Error> {
        self.sealing.open(self.place(purpose, id, 0), sealed)
    }

    /// Seals the value of a secret's version.
    pub fn seal_value(&self, secret: &[u8; 16], version: u32, value: &[u8]) -> Result<Vec<u8>, Error> {
        self.sealing.seal_value(self.place(Purpose::Value, secret, version), value)
    }

    /// Opens the value of a secret's version.
    pub fn open_value(&self, secret: &[u8; 16], version: u32, sealed: &[u8]) -> Result<Opened, Error> {
        self.sealing.open_value(self.place(Purpose::Value, secret, version), sealed)
    }

    fn place<'a>(&self, purpose: Purpose, id: &'a [u8], version: u32) -> Place<'a> {
        Place { purpose, namespace: Some(self.id), id, version }
    }

    fn of(id: NamespaceId, index: &KeyBytes, generation: u32, sealing: &KeyBytes) -> Result<Self, Error> {
        let names = MacKey::new(&index.derive("strongroom v1 secret names")?);
        Ok(Self { id, names, sealing: SealingKey::new(generation, sealing)? })
    }
}

/// What is left to read of a record in the clear.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        let (part, rest) = self.0.split_first_chunk().ok_or(Error::Integrity)?;
        self.0 = rest;
        Ok(part)
    }

    fn key(&mut self) -> Result<KeyBytes, Error> {
        KeyBytes::from_slice(self.take::<32>()?).ok_or(Error::Integrity)
    }

    fn generation(&mut self) -> Result<u32, Error> {
        self.take().map(|bytes| u32::from_be_bytes(*bytes))
    }
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
    fn a_namespace_record_opens_at_its_own_name_only() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let (team, other) = (Namespace::parse("team/a").unwrap(), Namespace::parse("team/b").unwrap());
        let (keys, record) = NamespaceKeys::create(&keyring, &team).unwrap();
        let (name, opened) = NamespaceKeys::open(&keyring, &keyring.namespace_mac(&team), &record).unwrap();
        assert_eq!((name, opened.id()), (team, keys.id()));
        assert!(NamespaceKeys::open(&keyring, &keyring.namespace_mac(&other), &record).is_err());
    }
}
