//! The sealed forms, and the places to which they are bound.
//!
//! A sealed record: format (1 byte, 2), key generation (4 bytes, big-endian), nonce (12), ciphertext, tag (16). A
//! sealed value: format (2), key generation (4), wrapped data key (12 + 32 + 16), nonce (12), ciphertext, tag (16).
//! The associated data of each is format, key generation and place. A value has 0 for the generation, so that its
//! data key can be wrapped again while the value stays as it is. Format 1, which is still opened, bound the value
//! to the generation too.

use super::aead::{AeadKey, Digest, Error, KeyBytes, Opened};
use crate::domain::ValueSize;
use crate::schema::NamespaceId;

const FORMAT: u8 = 2;
const FIRST_FORMAT: u8 = 1;
/// Format and key generation.
const HEADER: usize = 5;
const WRAPPED: usize = 32 + AeadKey::OVERHEAD;

/// The purpose of a seal. Its number is part of the associated data, so it never changes its meaning.
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
    /// The idempotency record of a request.
    IdempotencyRecord = 8,
    /// A page token, which leaves the server sealed.
    PageToken = 9,
    /// The data key of a backup, under the master key.
    BackupKey = 10,
    /// A part of a backup, under that key.
    BackupPart = 11,
    /// The digest of the store.
    Digest = 12,
    /// A role.
    Role = 13,
    /// A binding.
    Binding = 14,
    /// The access epoch.
    AccessEpoch = 15,
    /// The audit record of a request, on its way to a log.
    AuditRecord = 32,
    /// The anchor of an audit log.
    AuditAnchor = 33,
    /// The usage of a secret.
    SecretUsage = 34,
    /// The last use of an API key.
    KeyUsage = 35,
    /// The event of the change of a secret.
    Event = 36,
    /// The start of the history of events.
    HistoryStart = 37,
    /// The heartbeat of a server.
    Heartbeat = 38,
    /// The last use of a binding.
    BindingUsage = 39,
}

/// The place of a ciphertext. It opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The purpose of the seal.
    pub purpose: Purpose,
    /// The namespace; `None` for records of the store as a whole.
    pub namespace: Option<NamespaceId>,
    /// The record: its id, or the HMAC in its key.
    pub id: &'a [u8],
    /// The version of a secret; 0 for other records.
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

/// One generation of a key that seals records.
pub(super) struct RecordKey {
    generation: u32,
    key: AeadKey,
}

impl RecordKey {
    /// The key derived from these bytes, as this generation.
    pub(super) fn new(generation: u32, key: &KeyBytes) -> Result<Self, Error> {
        Ok(Self { generation, key: AeadKey::new(&key.derive("strongroom v1 records")?)? })
    }

    /// Seals a record for its place, behind what is in `out`.
    pub(super) fn seal_onto(&self, out: &mut Vec<u8>, place: Place<'_>, record: &[u8]) -> Result<(), Error> {
        self.seal_in(FORMAT, out, place, record)
    }

    fn seal_in(&self, format: u8, out: &mut Vec<u8>, place: Place<'_>, record: &[u8]) -> Result<(), Error> {
        let header = header(format, self.generation);
        out.reserve_exact(SealingKey::sealed_len(record.len()));
        out.extend_from_slice(&header);
        self.key.seal_onto(out, &place.associated_data(&header), record)
    }

    /// Opens a record of this place.
    pub(super) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Opened, Error> {
        let (parsed, rest) = Header::split(sealed)?;
        if parsed.generation != self.generation {
            return Err(Error::Integrity);
        }
        self.key.open(&place.associated_data(&parsed.bytes), rest)
    }
}

/// One generation of a key that seals records and wraps data keys.
pub struct SealingKey {
    records: RecordKey,
    data_keys: AeadKey,
}

impl SealingKey {
    /// The length of the sealed form of a record, in bytes.
    pub const fn sealed_len(record: usize) -> usize {
        HEADER + record + AeadKey::OVERHEAD
    }

    /// The keys derived from these bytes, as this generation.
    pub fn new(generation: u32, key: &KeyBytes) -> Result<Self, Error> {
        Ok(Self {
            records: RecordKey::new(generation, key)?,
            data_keys: AeadKey::new(&key.derive("strongroom v1 data keys")?)?,
        })
    }

    fn generation(&self) -> u32 {
        self.records.generation
    }

    /// Seals a record for its place.
    pub fn seal(&self, place: Place<'_>, record: &[u8]) -> Result<Vec<u8>, Error> {
        let mut sealed = Vec::new();
        self.records.seal_onto(&mut sealed, place, record)?;
        Ok(sealed)
    }

    /// Seals a record as the first release did.
    #[cfg(test)]
    pub(crate) fn seal_in_first_format(&self, place: Place<'_>, record: &[u8]) -> Result<Vec<u8>, Error> {
        let mut sealed = Vec::new();
        self.records.seal_in(FIRST_FORMAT, &mut sealed, place, record)?;
        Ok(sealed)
    }

    /// Seals a value as the first release did: bound to the generation that wraps its data key.
    #[cfg(test)]
    pub(crate) fn seal_value_in_first_format(
        &self,
        place: Place<'_>,
        value: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let (header, data_key) = (header(FIRST_FORMAT, self.generation()), KeyBytes::generate()?);
        let mut sealed = header.to_vec();
        let wrapped_at = place.with_purpose(Purpose::DataKey).associated_data(&header);
        self.data_keys.seal_onto(&mut sealed, &wrapped_at, data_key.expose())?;
        AeadKey::new(&data_key)?.seal_onto(&mut sealed, &place.associated_data(&header), value)?;
        Ok(sealed)
    }

    /// Opens a record of this place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Opened, Error> {
        self.records.open(place, sealed)
    }

    /// The header and the wrapped data key of a value, in a buffer with room for so many bytes behind them.
    fn wrap(&self, place: Place<'_>, data_key: &KeyBytes, room: usize) -> Result<Vec<u8>, Error> {
        let header = header(FORMAT, self.generation());
        let mut sealed = Vec::with_capacity(HEADER + WRAPPED + room);
        sealed.extend_from_slice(&header);
        let wrapped_at = place.with_purpose(Purpose::DataKey).associated_data(&header);
        self.data_keys.seal_onto(&mut sealed, &wrapped_at, data_key.expose())?;
        Ok(sealed)
    }

    fn unwrap(&self, place: Place<'_>, header: &Header, wrapped: &[u8]) -> Result<KeyBytes, Error> {
        let wrapped_at = place.with_purpose(Purpose::DataKey).associated_data(&header.bytes);
        KeyBytes::from_slice(&self.data_keys.open(&wrapped_at, wrapped)?).ok_or(Error::Integrity)
    }
}

/// All generations of a key in use. The newest one seals; each opens what it has sealed.
pub(super) struct SealingKeys {
    newest: SealingKey,
    earlier: Vec<SealingKey>,
}

impl SealingKeys {
    /// The newest generation and the earlier ones.
    pub(super) fn new(newest: SealingKey, earlier: Vec<SealingKey>) -> Self {
        Self { newest, earlier }
    }

    /// Seals a record for its place.
    pub(super) fn seal(&self, place: Place<'_>, record: &[u8]) -> Result<Vec<u8>, Error> {
        self.newest.seal(place, record)
    }

    /// Opens a record of this place.
    pub(super) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Opened, Error> {
        let (header, _) = Header::split(sealed)?;
        self.of(header.generation)?.open(place, sealed)
    }

    /// Seals the value of a version with a data key of its own, which is wrapped beside it.
    pub(super) fn seal_value(&self, place: Place<'_>, value: &[u8]) -> Result<Vec<u8>, Error> {
        let data_key = KeyBytes::generate()?;
        let mut sealed = self.newest.wrap(place, &data_key, value.len() + AeadKey::OVERHEAD)?;
        AeadKey::new(&data_key)?.seal_onto(&mut sealed, &place.associated_data(&header(FORMAT, 0)), value)?;
        Ok(sealed)
    }

    /// Opens the value of a version of this place.
    pub(super) fn open_value(&self, place: Place<'_>, sealed: &[u8]) -> Result<Opened, Error> {
        let (parsed, rest) = Header::split(sealed)?;
        let (wrapped, rest) = rest.split_at_checked(WRAPPED).ok_or(Error::Integrity)?;
        let data_key = self.of(parsed.generation)?.unwrap(place, &parsed, wrapped)?;
        let bound_to = if parsed.format == FIRST_FORMAT { parsed.bytes } else { header(FORMAT, 0) };
        AeadKey::new(&data_key)?.open(&place.associated_data(&bound_to), rest)
    }

    /// A version with its data key wrapped by the newest generation. Its value stays as it is. Only a value of
    /// format 1, which is bound to its generation, is sealed again.
    pub(super) fn rewrap_value(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (parsed, rest) = Header::split(sealed)?;
        if parsed.format == FIRST_FORMAT {
            return self.seal_value(place, &self.open_value(place, sealed)?);
        }
        let (wrapped, rest) = rest.split_at_checked(WRAPPED).ok_or(Error::Integrity)?;
        let data_key = self.of(parsed.generation)?.unwrap(place, &parsed, wrapped)?;
        let mut rewrapped = self.newest.wrap(place, &data_key, rest.len())?;
        rewrapped.extend_from_slice(rest);
        Ok(rewrapped)
    }

    /// Whether a version's data key opens at this place.
    pub(super) fn wraps_value(&self, place: Place<'_>, sealed: &[u8]) -> bool {
        let unwrapped = Header::split(sealed).and_then(|(parsed, rest)| {
            let (wrapped, _) = rest.split_at_checked(WRAPPED).ok_or(Error::Integrity)?;
            self.of(parsed.generation)?.unwrap(place, &parsed, wrapped)
        });
        unwrapped.is_ok()
    }

    /// Whether a sealed form is of the newest format and generation.
    pub(super) fn is_newest(&self, sealed: &[u8]) -> bool {
        sealed.starts_with(&header(FORMAT, self.newest.generation()))
    }

    fn of(&self, generation: u32) -> Result<&SealingKey, Error> {
        // An unknown generation was removed, or never existed.
        [&self.newest]
            .into_iter()
            .chain(&self.earlier)
            .find(|key| key.generation() == generation)
            .ok_or(Error::Integrity)
    }
}

/// The seal of a record, which no other record has: its nonce.
pub fn record_seal(sealed: &[u8]) -> Option<[u8; 12]> {
    sealed.get(HEADER..)?.first_chunk().copied()
}

/// Whether a record has format 1, the only one that the first release knew.
pub fn is_of_first_format(sealed: &[u8]) -> bool {
    format_of(sealed) == Some(FIRST_FORMAT)
}

/// The format of a sealed form. It is authentic once the form has been opened.
pub(super) fn format_of(sealed: &[u8]) -> Option<u8> {
    sealed.first().copied()
}

struct Header {
    bytes: [u8; HEADER],
    format: u8,
    generation: u32,
}

impl Header {
    /// The header and the rest of a sealed form of a known format.
    fn split(sealed: &[u8]) -> Result<(Self, &[u8]), Error> {
        let (bytes, rest) = sealed.split_first_chunk::<HEADER>().ok_or(Error::Integrity)?;
        let [format, generation @ ..] = *bytes;
        if format != FORMAT && format != FIRST_FORMAT {
            return Err(Error::Integrity);
        }
        Ok((Self { bytes: *bytes, format, generation: u32::from_be_bytes(generation) }, rest))
    }
}

fn header(format: u8, generation: u32) -> [u8; HEADER] {
    let [a, b, c, d] = generation.to_be_bytes();
    [format, a, b, c, d]
}

/// The seal of a value: the nonce of its own ciphertext. No other value of its place has it, and it stays the same
/// when the data key is wrapped again. `None` where the bytes are too few to be a sealed value.
pub fn value_seal(sealed: &[u8]) -> Option<[u8; 12]> {
    sealed.get(HEADER + WRAPPED..)?.first_chunk().copied()
}

/// The size of the value that was sealed to this, which follows from the length. `None` where the bytes are too few to be a sealed
/// value.
pub fn value_size(sealed: &[u8]) -> Option<ValueSize> {
    ValueSize::of_encoded(sealed.len().checked_sub(HEADER + WRAPPED + AeadKey::OVERHEAD)?)
}

/// The SHA-256 digest of a sealed value's wrapped data key. It identifies the key without revealing it. `None`
/// where the bytes are too few to be a sealed value.
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

    fn one(generation: u32, byte: u8) -> SealingKey {
        SealingKey::new(generation, &KeyBytes::from_slice(&[byte; 32]).unwrap()).unwrap()
    }

    fn keys(generation: u32, byte: u8) -> SealingKeys {
        SealingKeys::new(one(generation, byte), Vec::new())
    }

    #[test]
    fn a_value_opens_at_its_own_place_only() {
        let key = keys(1, 1);
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
        assert!(keys(2, 1).open_value(here, &sealed).is_err());
        assert!(keys(1, 2).open_value(here, &sealed).is_err());
    }

    #[test]
    fn no_altered_or_shortened_value_opens() {
        let key = keys(1, 1);
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
        let key = keys(1, 1);
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
    fn the_size_of_a_value_follows_from_the_length_of_its_sealed_form_of_each_format() {
        let keys = SealingKeys::new(one(2, 2), vec![one(1, 1)]);
        let here = place(Purpose::Value, b"id", 1);
        let value = crate::domain::Value::text("välue".to_owned()).unwrap();
        let first = one(1, 1).seal_value_in_first_format(here, &value.encode()).unwrap();
        for sealed in
            [keys.rewrap_value(here, &first).unwrap(), first, keys.seal_value(here, &value.encode()).unwrap()]
        {
            assert_eq!(value_size(&sealed).unwrap().bytes(), value.len() as u64);
        }
        assert_eq!((value_size(&[0; 92]), value_size(&[0; 93])), (None, None));
    }

    #[test]
    fn every_value_is_sealed_with_a_key_of_its_own() {
        let key = keys(1, 1);
        let here = place(Purpose::Value, b"id", 1);
        let (a, b) = (key.seal_value(here, b"value").unwrap(), key.seal_value(here, b"value").unwrap());
        // The wrapped key of one value beside the ciphertext of the other opens nothing.
        let mixed = [&a[..HEADER + WRAPPED], &b[HEADER + WRAPPED..]].concat();
        assert_eq!(key.open_value(here, &mixed).unwrap_err(), Error::Integrity);
    }

    #[test]
    fn a_rewrapped_value_is_untouched_and_needs_only_the_newest_generation() {
        let here = place(Purpose::Value, b"id", 1);
        let sealed = keys(1, 1).seal_value(here, b"value").unwrap();
        let both = SealingKeys::new(one(2, 2), vec![one(1, 1)]);
        assert!(!both.is_newest(&sealed));
        let rewrapped = both.rewrap_value(here, &sealed).unwrap();
        assert!(both.is_newest(&rewrapped));
        assert_eq!(rewrapped[HEADER + WRAPPED..], sealed[HEADER + WRAPPED..]);
        assert_eq!(keys(2, 2).open_value(here, &rewrapped).unwrap().as_slice(), b"value");
        assert!(keys(1, 1).open_value(here, &rewrapped).is_err());
        let elsewhere = place(Purpose::Value, b"id", 2);
        assert!(both.rewrap_value(elsewhere, &sealed).is_err());
    }
}
