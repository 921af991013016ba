//! The sealed form of a backup, which docs/format.md describes byte by byte.
//!
//! Every backup has a data key of its own, wrapped by the master key in use. Its parts are sealed with that key.
//! Each part is bound to its number and to whether it is the last, so that none can be left out, repeated or moved.
//! A digest at the end shows anyone, without a key, that a file is whole.

use super::aead::{AeadKey, Digest, Error, KeyBytes, Opened};
use super::envelope::{Place, Purpose, SealingKey};
use super::master_key::MasterKeys;
use super::wrap::Wrap;

const MAGIC: &[u8; 16] = b"STRONGROOMBACKUP";
const FORMAT: u32 = 2;
/// Magic, format, time and revision.
const ABOUT: usize = 16 + 4 + 8 + 8;
/// The backup's key in format 1, sealed as a record. Later formats have a wrap instead.
const KEY_OF_FORMAT_1: usize = SealingKey::sealed_len(32);
/// The length of a part, and whether it is the last.
const PART_HEADER: usize = 5;
/// The largest size of a part in the clear, in bytes.
pub const MAX_PART: usize = 512 * 1024;
const MAX_SEALED_PART: usize = MAX_PART + AeadKey::OVERHEAD;

/// The facts that a backup states in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// When the backup began: microseconds since 1970.
    pub created_at: i64,
    /// The store's revision when the backup began. Its content has this revision or a later one.
    pub revision: u64,
}

/// Why a backup cannot be read. Holds nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// Its first bytes are not those of a backup.
    #[error("it is not a backup of Strongroom")]
    NotABackup,
    /// It was written by a later release.
    #[error(
        "it is of format {0}, and this release knows those up to {FORMAT}: take the release that wrote it, or a later one"
    )]
    UnknownFormat(u32),
    /// It ends before its last part.
    #[error("it ends before its end: it was cut short")]
    CutShort,
    /// Bytes follow after its end.
    #[error("it goes on after its end")]
    TooLong,
    /// A byte of it was changed.
    #[error("it was altered or damaged")]
    Damaged,
    /// Another master key sealed it, or its header was altered.
    #[error("it was made with another master key, or it was altered")]
    OtherMasterKey,
    /// Its parts are whole, but its records do not match its digest.
    #[error(
        "the store that it was made of had been altered: records of it are missing, or older than they should be. To restore \
         it all the same, accept that with accept_altered"
    )]
    Unvouched,
    /// Its file could not be read.
    #[error("it could not be read: {0}")]
    Unreadable(std::io::ErrorKind),
    /// The cryptography of this machine failed.
    #[error(transparent)]
    Failed(Error),
}

/// Seals a backup, part by part.
pub struct BackupSealer {
    key: AeadKey,
    digest: Digest,
    parts: u64,
}

impl BackupSealer {
    /// A new backup, and its first bytes.
    pub fn begin(masters: &MasterKeys, about: About) -> Result<(Self, Vec<u8>), Error> {
        let data_key = KeyBytes::generate()?;
        let mut header = Vec::with_capacity(ABOUT + Wrap::MAX);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&FORMAT.to_be_bytes());
        header.extend_from_slice(&about.created_at.to_be_bytes());
        header.extend_from_slice(&about.revision.to_be_bytes());
        let about = header.clone();
        masters.wrap_onto(&mut header, Purpose::BackupKey, &about, &data_key)?;
        let mut digest = Digest::new();
        digest.update(&header);
        Ok((Self { key: AeadKey::new(&data_key)?, digest, parts: 0 }, header))
    }

    /// The next part, sealed. The digest follows the last part.
    pub fn seal(&mut self, part: &[u8], last: bool) -> Result<Vec<u8>, Error> {
        let length = u32::try_from(part.len() + AeadKey::OVERHEAD).map_err(|_| Error::Failed)?;
        if part.len() > MAX_PART {
            return Err(Error::Failed);
        }
        let mut sealed = Vec::with_capacity(PART_HEADER + part.len() + AeadKey::OVERHEAD + Digest::LENGTH);
        sealed.extend_from_slice(&length.to_be_bytes());
        sealed.push(u8::from(last));
        self.key.seal_onto(&mut sealed, &associated_data(self.parts, last), part)?;
        self.parts += 1;
        self.digest.update(&sealed);
        if last {
            sealed.extend_from_slice(&self.digest.finish());
        }
        Ok(sealed)
    }
}

/// Checks the bytes of a backup without any key: whether the file is whole.
pub struct BackupCheck {
    about: Option<About>,
    digest: Digest,
    /// The bytes received but not yet handled: less than a part with its header.
    pending: Vec<u8>,
    ended: bool,
    finished: bool,
}

impl BackupCheck {
    /// Before the first byte.
    pub fn new() -> Self {
        Self { about: None, digest: Digest::new(), pending: Vec::new(), ended: false, finished: false }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut rest = pending.as_slice();
        while let Some(taken) = self.take(rest)? {
            rest = rest.get(taken..).unwrap_or_default();
        }
        let understood = pending.len() - rest.len();
        pending.drain(..understood);
        self.pending = pending;
        Ok(())
    }

    /// The length of the next element of a backup at the start of these bytes; `None` where there are too few
    /// bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<Option<usize>, BackupError> {
        if self.finished {
            return if bytes.is_empty() { Ok(None) } else { Err(BackupError::TooLong) };
        }
        if self.ended {
            let Some(digest) = bytes.first_chunk::<{ Digest::LENGTH }>() else { return Ok(None) };
            if *digest != self.digest.finish() {
                return Err(BackupError::Damaged);
            }
            self.finished = true;
            return Ok(Some(Digest::LENGTH));
        }
        if self.about.is_none() {
            let header = header_len(bytes)?.and_then(|length| bytes.get(..length));
            let Some(header) = header else { return Ok(None) };
            self.about = Some(about(header)?);
            self.digest.update(header);
            return Ok(Some(header.len()));
        }
        let Some((length, last)) = part_header(bytes)? else { return Ok(None) };
        let Some(part) = bytes.get(..PART_HEADER + length) else { return Ok(None) };
        self.digest.update(part);
        self.ended = last;
        Ok(Some(part.len()))
    }

    /// The facts that the backup states, once they have arrived.
    pub fn about(&self) -> Option<About> {
        self.about
    }

    /// Fails unless the backup came to its end.
    pub fn finish(self) -> Result<About, BackupError> {
        self.about.filter(|_| self.finished).ok_or(BackupError::CutShort)
    }
}

impl Default for BackupCheck {
    fn default() -> Self {
        Self::new()
    }
}

/// Opens the parts of a backup in order. [`BackupCheck`] says whether its bytes are whole; opening a part proves
/// that the part is as it was sealed.
pub struct BackupOpener<R> {
    from: R,
    key: AeadKey,
    parts: u64,
    ended: bool,
}

impl<R: std::io::Read> BackupOpener<R> {
    /// Reads the header of a backup.
    pub fn begin(masters: &MasterKeys, mut from: R) -> Result<Self, BackupError> {
        // As far as its length is known.
        let mut header = vec![0; ABOUT + 1];
        read(&mut from, &mut header)?;
        let length = header_len(&header)?.ok_or(BackupError::Damaged)?;
        header.resize(length, 0);
        read(&mut from, header.get_mut(ABOUT + 1..).unwrap_or_default())?;
        about(&header)?;
        let (before, wrapped) = header.split_at_checked(ABOUT).ok_or(BackupError::Damaged)?;
        let key = match format(before)? {
            1 => open_key_of_format_1(masters, before, wrapped)?,
            _ => open_key(masters, before, wrapped)?,
        };
        let key = AeadKey::new(&key).map_err(BackupError::Failed)?;
        Ok(Self { from, key, parts: 0, ended: false })
    }

    /// The next part in the clear; `None` after the last.
    pub fn next_part(&mut self) -> Result<Option<Opened>, BackupError> {
        if self.ended {
            return Ok(None);
        }
        let mut header = [0; PART_HEADER];
        read(&mut self.from, &mut header)?;
        let (length, last) = part_header(&header)?.ok_or(BackupError::CutShort)?;
        let mut sealed = vec![0; length];
        read(&mut self.from, &mut sealed)?;
        let opened = self.key.open(&associated_data(self.parts, last), &sealed);
        self.parts += 1;
        self.ended = last;
        opened.map(Some).map_err(|_| BackupError::Damaged)
    }
}

fn read(from: &mut impl std::io::Read, into: &mut [u8]) -> Result<(), BackupError> {
    from.read_exact(into).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => BackupError::CutShort,
        other => BackupError::Unreadable(other),
    })
}

/// The length of the header at the start of these bytes; `None` where there are too few bytes to tell.
fn header_len(bytes: &[u8]) -> Result<Option<usize>, BackupError> {
    // Another kind of file is recognized by its first bytes.
    let known = bytes.len().min(MAGIC.len());
    if bytes.get(..known) != MAGIC.get(..known) {
        return Err(BackupError::NotABackup);
    }
    if bytes.len() < MAGIC.len() + 4 {
        return Ok(None);
    }
    match (format(bytes)?, bytes.get(ABOUT)) {
        (1, _) => Ok(Some(ABOUT + KEY_OF_FORMAT_1)),
        (_, Some(first)) => Ok(Some(ABOUT + Wrap::len(*first).ok_or(BackupError::Damaged)?)),
        (_, None) => Ok(None),
    }
}

/// The format, if this release knows it.
fn format(header: &[u8]) -> Result<u32, BackupError> {
    let rest = header.strip_prefix(MAGIC).ok_or(BackupError::NotABackup)?;
    let format = u32::from_be_bytes(*rest.first_chunk().ok_or(BackupError::CutShort)?);
    if (1..=FORMAT).contains(&format) { Ok(format) } else { Err(BackupError::UnknownFormat(format)) }
}

fn about(header: &[u8]) -> Result<About, BackupError> {
    format(header)?;
    let rest = header.get(MAGIC.len() + 4..).ok_or(BackupError::CutShort)?;
    let (created_at, rest) = rest.split_first_chunk().ok_or(BackupError::CutShort)?;
    let revision = rest.first_chunk().ok_or(BackupError::CutShort)?;
    Ok(About { created_at: i64::from_be_bytes(*created_at), revision: u64::from_be_bytes(*revision) })
}

fn open_key(masters: &MasterKeys, about: &[u8], wrapped: &[u8]) -> Result<KeyBytes, BackupError> {
    let (wrap, _) = Wrap::split(wrapped).ok_or(BackupError::Damaged)?;
    match masters.unwrap(&[wrap], Purpose::BackupKey, about) {
        Ok((key, _)) => Ok(key),
        Err(Error::Integrity) => Err(BackupError::OtherMasterKey),
        Err(Error::Failed) => Err(BackupError::Failed(Error::Failed)),
    }
}

fn open_key_of_format_1(masters: &MasterKeys, about: &[u8], wrapped: &[u8]) -> Result<KeyBytes, BackupError> {
    for master in masters.all() {
        if let Some((sealing, _)) = master.format_1().map_err(BackupError::Failed)?
            && let Ok(key) = sealing.open(key_place(about), wrapped)
        {
            return KeyBytes::from_slice(&key).ok_or(BackupError::Damaged);
        }
    }
    Err(BackupError::OtherMasterKey)
}

/// The length of a sealed part and whether it is the last; `None` where there are too few bytes to say.
fn part_header(bytes: &[u8]) -> Result<Option<(usize, bool)>, BackupError> {
    let Some((length, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| BackupError::Damaged)?;
    if !(AeadKey::OVERHEAD..=MAX_SEALED_PART).contains(&length) {
        return Err(BackupError::Damaged);
    }
    match rest.first() {
        Some(0) => Ok(Some((length, false))),
        Some(1) => Ok(Some((length, true))),
        Some(_) => Err(BackupError::Damaged),
        None => Ok(None),
    }
}

fn key_place(about: &[u8]) -> Place<'_> {
    Place { purpose: Purpose::BackupKey, namespace: None, id: about, version: 0 }
}

/// The associated data of a part: its number, and whether it is the last.
fn associated_data(number: u64, last: bool) -> [u8; 10] {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    [Purpose::BackupPart as u8, a, b, c, d, e, f, g, h, u8::from(last)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a backup in format 1.
    const HEADER: usize = ABOUT + 1 + 8 + 32 + AeadKey::OVERHEAD;
    const ABOUT_IT: About = About { created_at: 7, revision: 9 };

    fn backup(master: &MasterKeys, parts: &[&[u8]]) -> Vec<u8> {
        let (mut sealer, mut bytes) = BackupSealer::begin(master, ABOUT_IT).unwrap();
        for (at, part) in parts.iter().enumerate() {
            bytes.extend(sealer.seal(part, at + 1 == parts.len()).unwrap());
        }
        bytes
    }

    fn check(bytes: &[u8], at_a_time: usize) -> Result<About, BackupError> {
        let mut check = BackupCheck::new();
        for some in bytes.chunks(at_a_time) {
            check.update(some)?;
        }
        check.finish()
    }

    fn open(master: &MasterKeys, bytes: &[u8]) -> Result<Vec<Vec<u8>>, BackupError> {
        let mut opener = BackupOpener::begin(master, bytes)?;
        let mut parts = Vec::new();
        while let Some(part) = opener.next_part()? {
            parts.push(part.to_vec());
        }
        Ok(parts)
    }

    #[test]
    fn a_backup_is_read_back_by_its_own_master_key_only() {
        let master = MasterKeys::generate().unwrap();
        let bytes = backup(&master, &[b"one", b"", b"three"]);
        for at_a_time in [1, 7, 64, bytes.len()] {
            assert_eq!(check(&bytes, at_a_time), Ok(ABOUT_IT));
        }
        assert_eq!(open(&master, &bytes).unwrap(), [&b"one"[..], b"", b"three"]);
        let other = MasterKeys::generate().unwrap();
        assert_eq!(open(&other, &bytes).unwrap_err(), BackupError::OtherMasterKey);
    }

    #[test]
    fn every_altered_byte_and_every_cut_is_noticed_with_and_without_the_key() {
        let master = MasterKeys::generate().unwrap();
        let bytes = backup(&master, &[b"one", b"two"]);
        let content = bytes.len() - Digest::LENGTH;
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert!(check(&altered, 64).is_err(), "byte {at}");
            assert!(at >= content || open(&master, &altered).is_err(), "byte {at}");
            assert!(check(&bytes[..at], 64).is_err(), "cut at {at}");
            assert!(at >= content || open(&master, &bytes[..at]).is_err(), "cut at {at}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(check(&longer, 64), Err(BackupError::TooLong));
        assert_eq!(check(b"PK\x03\x04", 4), Err(BackupError::NotABackup));
    }

    #[test]
    fn parts_can_not_be_left_out_repeated_or_moved() {
        let master = MasterKeys::generate().unwrap();
        let bytes = backup(&master, &[b"one", b"two", b"end"]);
        let part = PART_HEADER + 3 + AeadKey::OVERHEAD;
        let (header, rest) = bytes.split_at(HEADER);
        let parts: Vec<_> = rest.chunks(part).take(3).collect();
        for order in [&[1, 2][..], &[0, 2], &[0, 0, 1, 2], &[1, 0, 2], &[0, 1, 1, 2]] {
            let moved: Vec<u8> = order.iter().flat_map(|at| parts[*at]).copied().collect();
            assert_eq!(open(&master, &[header, &moved].concat()).unwrap_err(), BackupError::Damaged);
        }
        // A last part of another backup does not end this one, nor does an own part that was not sealed as the
        // last.
        let other = backup(&master, &[b"one", b"two", b"end"]);
        let mixed = [&bytes[..HEADER + 2 * part], &other[HEADER + 2 * part..]].concat();
        assert_eq!(open(&master, &mixed).unwrap_err(), BackupError::Damaged);
        let mut ended = bytes[..HEADER + part].to_vec();
        ended[HEADER + 4] = 1;
        assert_eq!(open(&master, &ended).unwrap_err(), BackupError::Damaged);
    }

    #[test]
    fn a_newer_format_is_told() {
        let mut bytes = backup(&MasterKeys::generate().unwrap(), &[b"one"]);
        bytes[19] = 3;
        assert_eq!(check(&bytes, 64), Err(BackupError::UnknownFormat(3)));
    }
}
