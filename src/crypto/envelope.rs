//! The sealed forms, and the places that they are bound to.
//!
//! A sealed record: format (1 byte, 1), key generation (4 bytes, big-endian), nonce (12), ciphertext, tag (16).
//! A sealed value: format (1), key generation (4), wrapped data key (12 + 32 + 16), nonce (12), ciphertext, tag (16).
//! The associated data of each is format, key generation, and the place.

use super::aead::{AeadKey, Digest, Error, KeyBytes, Opened};
use crate::store::key::NamespaceId;

const FORMAT: u8 = 1;
/// Format and key generation.
const HEADER: usize = 5;
const WRAPPED: usize = 32 + AeadKey::OVERHEAD;

/// What a seal is for. The number stands in the associated data, so it never changes its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The keyring, under the master key.
    Keyring = 1,
    /// An API key.
    ApiKey = 2,
    /// A namespace and its keys.
    Namespace = 3,
    /// The id behind a secret's name.
    Name = 4,
    /// A secret without its value.
    Secret = 5,
    /// The data key of a version.
    DataKey = 6,
    /// The value of a version.
    Value = 7,
    /// The receipt of an idempotent request.
    Receipt = 8,
    /// A page token, which leaves the server sealed.
    PageToken = 9,
    /// The data key of a backup, under the master key.
    BackupKey = 10,
    /// A part of a backup, under that key.
    BackupPart = 11,
}

/// Where a ciphertext belongs: it opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// What it is for.
    pub purpose: Purpose,
    /// Whose namespace; `None` for what belongs to no namespace.
    pub namespace: Option<NamespaceId>,
    /// Which record: its id, or the HMAC that its key holds.
    pub id: &'a [u8],
    /// Which version of a secret; 0 for what has none.
    pub version: u32,
}

impl Place<'_> {
    fn associated_data(&self, header: &[u8; HEADER]) -> Vec<u8> {
        let mut data = Vec::with_capacity(64);
        data.extend_from_slice(header);
        data.push(self.purpose as u8);
        match self.namespace {
            Some(NamespaceId(id)) => {
                data.push(1);
                data.extend_from_slice(&id);
            }
            None => data.push(0),
        }
        data.extend_from_slice(&self.version.to_be_bytes());
        data.extend_from_slice(self.id);
        data
    }

    fn with_purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }
}

/// A generation of a key that seals records and wraps data keys.
pub struct SealingKey {
    generation: u32,
    records: AeadKey,
    data_keys: AeadKey,
}

impl SealingKey {
    /// How long the sealed form of a record of that length is, in bytes.
    pub const fn sealed_len(record: usize) -> usize {
        HEADER + record + AeadKey::OVERHEAD
    }

    /// The keys that are derived from these bytes, which are this generation of them.
    pub fn new(generation: u32, key: &KeyBytes) -> Result<Self, Error> {
        Ok(Self {
            generation,
            records: AeadKey::new(&key.derive("strongroom v1 records")?)?,
            data_keys: AeadKey::new(&key.derive("strongroom v1 data keys")?)?,
        })
    }

    /// Seals a record for its place.
    pub fn seal(&self, place: Place<'_>, record: &[u8]) -> Result<Vec<u8>, Error> {
        let header = self.header();
        let mut sealed = Vec::with_capacity(Self::sealed_len(record.len()));
        sealed.extend_from_slice(&header);
        self.records.seal_onto(&mut sealed, &place.associated_data(&header), record)?;
        Ok(sealed)
    }

    /// Opens a record of this place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Opened, Error> {
        let (header, sealed) = self.split(sealed)?;
        self.records.open(&place.associated_data(header), sealed)
    }

    /// Seals a version's value with a data key of its own, and that key beside it.
    pub fn seal_value(&self, place: Place<'_>, value: &[u8]) -> Result<Vec<u8>, Error> {
        let header = self.header();
        let data_key = KeyBytes::generate()?;
        let mut sealed = Vec::with_capacity(HEADER + WRAPPED + value.len() + AeadKey::OVERHEAD);
        sealed.extend_from_slice(&header);
        let wrapped_at = place.with_purpose(Purpose::DataKey).associated_data(&header);
        self.data_keys.seal_onto(&mut sealed, &wrapped_at, data_key.expose())?;
        AeadKey::new(&data_key)?.seal_onto(&mut sealed, &place.associated_data(&header), value)?;
        Ok(sealed)
    }

    /// Opens a version's value of this place.
    pub fn open_value(&self, place: Place<'_>, sealed: &[u8]) -> Result<Opened, Error> {
        let (header, sealed) = self.split(sealed)?;
        let (wrapped, sealed) = sealed.split_at_checked(WRAPPED).ok_or(Error::Integrity)?;
        let wrapped_at = place.with_purpose(Purpose::DataKey).associated_data(header);
        let data_key = self.data_keys.open(&wrapped_at, wrapped)?;
        let data_key = KeyBytes::from_slice(&data_key).ok_or(Error::Integrity)?;
        AeadKey::new(&data_key)?.open(&place.associated_data(header), sealed)
    }

    fn header(&self) -> [u8; HEADER] {
        let [a, b, c, d] = self.generation.to_be_bytes();
        [FORMAT, a, b, c, d]
    }

    /// Header and rest of a sealed form, when it is of this format and generation.
    fn split<'a>(&self, sealed: &'a [u8]) -> Result<(&'a [u8; HEADER], &'a [u8]), Error> {
        let (header, rest) = sealed.split_first_chunk().ok_or(Error::Integrity)?;
        if *header == self.header() { Ok((header, rest)) } else { Err(Error::Integrity) }
    }
}

/// The nonce of a sealed value's own ciphertext. No other value of its place has it, and wrapping the data key anew leaves
/// it. `None` where the bytes are too few to be a sealed value.
pub fn value_seal(sealed: &[u8]) -> Option<[u8; 12]> {
    sealed.get(HEADER + WRAPPED..)?.first_chunk().copied()
}

/// The SHA-256 digest of a sealed value's wrapped data key: which key it is, told without telling the key. `None` where the
/// bytes are too few to be a sealed value.
pub fn data_key_digest(sealed: &[u8]) -> Option<[u8; 32]> {
    let mut digest = Digest::new();
    digest.update(sealed.get(HEADER..HEADER + WRAPPED)?);
    Some(digest.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMESPACE: NamespaceId = NamespaceId([3; 16]);

    fn place(purpose: Purpose, id: &[u8], version: u32) -> Place<'_> {
        Place { purpose, namespace: Some(NAMESPACE), id, version }
    }

    fn sealing_key(generation: u32, byte: u8) -> SealingKey {
        SealingKey::new(generation, &KeyBytes::from_slice(&[byte; 32]).unwrap()).unwrap()
    }

    #[test]
    fn a_value_opens_at_its_own_place_only() {
        let key = sealing_key(1, 1);
        let here = place(Purpose::Value, b"id", 1);
        let sealed = key.seal_value(here, b"value").unwrap();
        assert_eq!(key.open_value(here, &sealed).unwrap().as_slice(), b"value");
        let elsewhere = [
            place(Purpose::Value, b"id", 2),
            place(Purpose::Value, b"di", 1),
            place(Purpose::Secret, b"id", 1),
            Place { namespace: Some(NamespaceId([4; 16])), ..here },
            Place { namespace: None, ..here },
        ];
        for other in elsewhere {
            assert_eq!(key.open_value(other, &sealed).unwrap_err(), Error::Integrity);
        }
        assert!(sealing_key(2, 1).open_value(here, &sealed).is_err());
        assert!(sealing_key(1, 2).open_value(here, &sealed).is_err());
    }

    #[test]
    fn no_altered_or_shortened_value_opens() {
        let key = sealing_key(1, 1);
        let here = place(Purpose::Value, b"id", 1);
        let sealed = key.seal_value(here, b"value").unwrap();
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(key.open_value(here, &altered).is_err());
            assert!(key.open_value(here, &sealed[..at]).is_err());
        }
    }

    #[test]
    fn a_value_has_a_seal_of_its_own_and_a_key_that_can_be_told_apart() {
        let key = sealing_key(1, 1);
        let here = place(Purpose::Value, b"id", 1);
        let (a, b) = (key.seal_value(here, b"").unwrap(), key.seal_value(here, b"").unwrap());
        assert_eq!(value_seal(&a), a[65..77].first_chunk().copied());
        assert_ne!(value_seal(&a), value_seal(&b));
        assert_ne!(data_key_digest(&a), data_key_digest(&b));
        let mut rewrapped = a.clone();
        rewrapped[5..65].copy_from_slice(&b[5..65]);
        assert_eq!(
            (value_seal(&rewrapped), data_key_digest(&rewrapped)),
            (value_seal(&a), data_key_digest(&b))
        );
        assert_eq!((value_seal(&a[..76]), data_key_digest(&a[..64])), (None, None));
    }

    #[test]
    fn every_value_is_sealed_with_a_key_of_its_own() {
        let key = sealing_key(1, 1);
        let here = place(Purpose::Value, b"id", 1);
        let (a, b) = (key.seal_value(here, b"value").unwrap(), key.seal_value(here, b"value").unwrap());
        // The wrapped key of one beside the ciphertext of the other opens nothing.
        let mixed = [&a[..HEADER + WRAPPED], &b[HEADER + WRAPPED..]].concat();
        assert_eq!(key.open_value(here, &mixed).unwrap_err(), Error::Integrity);
    }
}
