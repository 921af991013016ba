use zeroize::Zeroizing;

use super::aead::{Error, KeyBytes, Mac, MacKey, Opened};
use super::envelope::{Place, Purpose, SealingKeys, format_of};
use super::field_reader::FieldReader;
use super::generation::{Generation, Generations};
use super::keyring::Keyring;
use crate::domain::{Namespace, SecretName};
use crate::schema::NamespaceId;

/// The keys of one namespace. The store holds them together with the namespace's name, sealed by the keyring.
///
/// In the clear: id (16 bytes), index key (32), the number of generations of the sealing key (1); for each
/// generation, oldest first: number (4, big-endian), the count of seals at which it was made (8), key (32); then
/// the name of the namespace. In format 1: id, index key, number and key of one generation, and the name.
pub struct NamespaceKeys {
    namespace: Namespace,
    id: NamespaceId,
    index: KeyBytes,
    generations: Generations,
    names: MacKey,
    sealing: SealingKeys,
}

impl NamespaceKeys {
    /// New keys for a namespace, and their record.
    pub fn create(keyring: &Keyring, namespace: &Namespace, since: u64) -> Result<(Self, Vec<u8>), Error> {
        let id = NamespaceId(super::random()?);
        let keys = Self::of(namespace.clone(), id, KeyBytes::generate()?, Generations::first(since)?)?;
        let record = keys.seal_with(keyring, &keys.generations.encode())?;
        Ok((keys, record))
    }

    /// Opens the record at the HMAC of a namespace's name.
    pub fn open(keyring: &Keyring, mac: &Mac, record: &[u8]) -> Result<Self, Error> {
        let clear = keyring.open_record(Purpose::Namespace, mac, record)?;
        let mut parts = FieldReader(&clear);
        let id = NamespaceId(*parts.take()?);
        let index = parts.key()?;
        let generations = match format_of(record) {
            Some(1) => {
                Generations::of(vec![Generation { number: parts.number()?, since: 0, key: parts.key()? }])
            }
            _ => {
                let [count] = *parts.take()?;
                Generations::decode(parts.slice(usize::from(count) * Generations::ENCODED)?)
            }
        };
        let name = std::str::from_utf8(parts.0).map_err(|_| Error::Integrity)?;
        let namespace = Namespace::parse(name).map_err(|_| Error::Integrity)?;
        Self::of(namespace, id, index, generations?)
    }

    /// The record of these keys with one more generation, which seals from then on.
    pub fn begin_rotation(&self, keyring: &Keyring, since: u64) -> Result<Vec<u8>, Error> {
        self.seal_with(keyring, &self.generations.encode_with_next(since)?)
    }

    /// The record of these keys with the newest generation alone.
    pub fn end_rotation(&self, keyring: &Keyring) -> Result<Vec<u8>, Error> {
        self.seal_with(keyring, &self.generations.encode_newest()?)
    }

    /// The record of these keys unchanged, sealed by the keyring's newest generation.
    pub fn reseal(&self, keyring: &Keyring) -> Result<Vec<u8>, Error> {
        self.seal_with(keyring, &self.generations.encode())
    }

    /// The id of the namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The namespace.
    pub fn id(&self) -> NamespaceId {
        self.id
    }

    /// The generations of the sealing key in use, oldest first.
    pub fn generations(&self) -> Vec<u32> {
        self.generations.numbers()
    }

    /// How many seals the store had seen when the newest generation was made.
    pub fn since(&self) -> u64 {
        self.generations.newest().map_or(0, |newest| newest.since)
    }

    /// The HMAC of a secret's name, which is part of the name's key in the store.
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

    /// Whether these keys unwrap the data key of a secret's version. Its value is not opened.
    pub fn wraps_value(&self, secret: &[u8; 16], version: u32, sealed: &[u8]) -> bool {
        self.sealing.wraps_value(self.place(Purpose::Value, secret, version), sealed)
    }

    /// A version with its data key wrapped by the newest generation.
    pub fn rewrap_value(&self, secret: &[u8; 16], version: u32, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        self.sealing.rewrap_value(self.place(Purpose::Value, secret, version), sealed)
    }

    /// Whether a record or a version of this namespace is sealed by the newest generation, in the newest format.
    pub fn is_newest(&self, sealed: &[u8]) -> bool {
        self.sealing.is_newest(sealed)
    }

    fn place<'a>(&self, purpose: Purpose, id: &'a [u8], version: u32) -> Place<'a> {
        Place { purpose, namespace: Some(self.id), id, version }
    }

    fn seal_with(&self, keyring: &Keyring, generations: &[u8]) -> Result<Vec<u8>, Error> {
        let name = self.namespace.as_str().as_bytes();
        let count = u8::try_from(generations.len() / Generations::ENCODED).map_err(|_| Error::Failed)?;
        let mut clear = Zeroizing::new(Vec::with_capacity(49 + generations.len() + name.len()));
        clear.extend_from_slice(&self.id.0);
        clear.extend_from_slice(self.index.expose());
        clear.push(count);
        clear.extend_from_slice(generations);
        clear.extend_from_slice(name);
        keyring.seal(Purpose::Namespace, &keyring.namespace_mac(&self.namespace), &clear)
    }

    fn of(
        namespace: Namespace,
        id: NamespaceId,
        index: KeyBytes,
        generations: Generations,
    ) -> Result<Self, Error> {
        let names = MacKey::new(&index.derive("strongroom v1 secret names")?);
        let sealing = generations.sealing(None)?;
        Ok(Self { namespace, id, index, generations, names, sealing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKeys;

    #[test]
    fn a_namespace_record_opens_at_its_own_name_only() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let (team, other) = (Namespace::parse("team/a").unwrap(), Namespace::parse("team/b").unwrap());
        let (keys, record) = NamespaceKeys::create(&keyring, &team, 0).unwrap();
        let opened = NamespaceKeys::open(&keyring, &keyring.namespace_mac(&team), &record).unwrap();
        assert_eq!((opened.namespace(), opened.id()), (&team, keys.id()));
        assert!(NamespaceKeys::open(&keyring, &keyring.namespace_mac(&other), &record).is_err());
    }

    #[test]
    fn a_rotation_keeps_names_and_values_and_lets_go_of_the_old_generation_at_its_end() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let team = Namespace::parse("team").unwrap();
        let (first, _) = NamespaceKeys::create(&keyring, &team, 0).unwrap();
        let open =
            |record: &[u8]| NamespaceKeys::open(&keyring, &keyring.namespace_mac(&team), record).unwrap();
        let (secret, name) = ([5; 16], SecretName::parse("a").unwrap());
        let sealed = first.seal_value(&secret, 1, b"value").unwrap();

        let both = open(&first.begin_rotation(&keyring, 9).unwrap());
        assert_eq!((both.generations(), both.since(), both.id()), (vec![1, 2], 9, first.id()));
        assert_eq!(both.name_mac(&name), first.name_mac(&name));
        let rewrapped = both.rewrap_value(&secret, 1, &sealed).unwrap();
        assert_eq!(open(&both.reseal(&keyring).unwrap()).generations(), [1, 2]);

        let last = open(&both.end_rotation(&keyring).unwrap());
        assert_eq!(last.open_value(&secret, 1, &rewrapped).unwrap().as_slice(), b"value");
        assert!(last.open_value(&secret, 1, &sealed).is_err());
    }
}
