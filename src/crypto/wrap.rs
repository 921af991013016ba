//! Records that master keys seal. Each master key wraps a random key, and that key seals the record, so that
//! several master keys can open one record.
//!
//! A wrap: kind of master key (1 byte: 0, a key; 1, a passphrase, followed by memory, passes and lanes of Argon2id,
//! 4 bytes each, and 16 of salt), the master key's id (8), nonce (12), wrapped key (32), tag (16). The associated
//! data is format (2), purpose, the context of the wrap, and the wrap up to its nonce.

use super::aead::{AeadKey, Error, KeyBytes, Opened};
use super::envelope::Purpose;
use super::keyring::KEYRING;
use super::master_key::{How, KeyId, MasterKey, MasterKeys, Root, Stretch};

/// The format of records sealed under wraps.
pub(super) const FORMAT: u8 = 2;
/// The largest number of master keys that can open one record.
const MAX_WRAPS: usize = 16;
/// The largest number of different passphrase parameters in one record: opening it may have to try each of them.
const MAX_STRETCHES: usize = 4;
const WRAPPED: usize = 32 + AeadKey::OVERHEAD;

/// An opened keyring, and the master keys that open its record.
pub struct OpenedKeyring {
    /// The keyring in the clear.
    pub clear: Opened,
    /// The master key that opened it: the one in use, if it could.
    pub opened_with: KeyId,
    /// All master keys that open it.
    pub wraps: Vec<KeyId>,
}

impl MasterKeys {
    /// Seals the keyring for the master key in use, and for those earlier keys that `also` names. An id is left out
    /// if it belongs to none of these keys, or to a passphrase that has not opened anything with it: nothing can be
    /// sealed for it.
    ///
    /// A new passphrase is stretched, which takes a tenth of a second and 64 MiB.
    pub fn seal_keyring(&self, clear: &[u8], also: &[KeyId]) -> Result<Vec<u8>, Error> {
        let key = KeyBytes::generate()?;
        let mut roots = vec![self.current().root()?];
        for master in self.all().skip(1) {
            if let Some((how, root)) = master.used_root(also)
                && roots.iter().all(|(_, other)| other.id() != root.id())
                && roots.len() < MAX_WRAPS
                && (how == How::Key || stretches(roots.iter().map(|(how, _)| *how)) < MAX_STRETCHES)
            {
                roots.push((how, root));
            }
        }
        let mut wraps = Vec::with_capacity(roots.len() * Wrap::MAX);
        for (how, root) in &roots {
            wrap_onto(&mut wraps, (*how, root), Purpose::Keyring, &[], &key)?;
        }
        let count = u8::try_from(roots.len()).map_err(|_| Error::Failed)?;
        let mut record = vec![FORMAT, count];
        record.extend_from_slice(&wraps);
        let aad = payload_data(&record);
        AeadKey::new(&key)?.seal_onto(&mut record, &aad, clear)?;
        Ok(record)
    }

    /// Opens the keyring, of this format or of format 1, with any of these keys. Each passphrase is stretched once
    /// for each salt.
    pub fn open_keyring(&self, record: &[u8]) -> Result<OpenedKeyring, Error> {
        match record.split_first_chunk() {
            Some(([FORMAT, count], rest)) => self.open_wrapped_keyring(record, usize::from(*count), rest),
            Some(_) | None => self.open_keyring_of_format_1(record),
        }
    }

    fn open_wrapped_keyring(
        &self,
        record: &[u8],
        count: usize,
        mut rest: &[u8],
    ) -> Result<OpenedKeyring, Error> {
        if count > MAX_WRAPS {
            return Err(Error::Integrity);
        }
        let mut wraps = Vec::with_capacity(count);
        for _ in 0..count {
            let (wrap, behind) = Wrap::split(rest).ok_or(Error::Integrity)?;
            wraps.push(wrap);
            rest = behind;
        }
        let (before, sealed) = record.split_at_checked(record.len() - rest.len()).ok_or(Error::Integrity)?;
        let (key, opened_with) = self.unwrap(&wraps, Purpose::Keyring, &[])?;
        let clear = AeadKey::new(&key)?.open(&payload_data(before), sealed)?;
        Ok(OpenedKeyring { clear, opened_with, wraps: wraps.iter().map(|wrap| wrap.id).collect() })
    }

    fn open_keyring_of_format_1(&self, record: &[u8]) -> Result<OpenedKeyring, Error> {
        for master in self.all() {
            if let Some((key, id)) = master.format_1()?
                && let Ok(clear) = key.open(KEYRING, record)
            {
                return Ok(OpenedKeyring { clear, opened_with: id, wraps: vec![id] });
            }
        }
        Err(Error::Integrity)
    }

    /// The key in one of these wraps, and the id of the master key that opened it. The key in use is tried before
    /// earlier ones.
    pub(super) fn unwrap(
        &self,
        wraps: &[Wrap<'_>],
        purpose: Purpose,
        context: &[u8],
    ) -> Result<(KeyBytes, KeyId), Error> {
        if stretches(wraps.iter().map(|wrap| wrap.how)) > MAX_STRETCHES {
            return Err(Error::Integrity);
        }
        for master in self.all() {
            for wrap in wraps {
                if let Some(key) = wrap.open(master, purpose, context)? {
                    return Ok((key, wrap.id));
                }
            }
        }
        Err(Error::Integrity)
    }

    /// Appends a wrap of this key for the master key in use.
    pub(super) fn wrap_onto(
        &self,
        out: &mut Vec<u8>,
        purpose: Purpose,
        context: &[u8],
        key: &KeyBytes,
    ) -> Result<(), Error> {
        let (how, root) = self.current().root()?;
        wrap_onto(out, (how, &root), purpose, context, key)
    }
}

/// A key, sealed by a master key.
pub(super) struct Wrap<'a> {
    how: How,
    id: KeyId,
    /// Everything before the nonce.
    header: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Wrap<'a> {
    /// The length of the longest wrap, in bytes.
    pub(super) const MAX: usize = 1 + Stretch::LENGTH + 8 + WRAPPED;

    /// The length of a wrap that begins with this byte; `None` where none does.
    pub(super) fn len(first: u8) -> Option<usize> {
        match first {
            0 => Some(1 + 8 + WRAPPED),
            1 => Some(Self::MAX),
            _ => None,
        }
    }

    /// The wrap at the start of these bytes, and the rest; `None` where there is none.
    pub(super) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (wrap, behind) = bytes.split_at_checked(Self::len(*bytes.first()?)?)?;
        let (header, sealed) = wrap.split_at_checked(wrap.len() - WRAPPED)?;
        let (how, id) = header.split_last_chunk()?;
        let how = match how.split_first()? {
            (0, []) => How::Key,
            (1, stretch) => How::Argon2id(Stretch::decode(stretch.first_chunk()?)?),
            _ => return None,
        };
        Some((Self { how, id: KeyId(*id), header, sealed }, behind))
    }

    /// Opens the wrapped key; `None` where another master key wrapped it, or it was altered.
    fn open(&self, master: &MasterKey, purpose: Purpose, context: &[u8]) -> Result<Option<KeyBytes>, Error> {
        let Some(root) = master.root_of(self.how, self.id)? else { return Ok(None) };
        let aad = associated_data(purpose, context, self.header);
        let Ok(key) = root.wrapping_key()?.open(&aad, self.sealed) else { return Ok(None) };
        master.keep(self.how);
        Ok(KeyBytes::from_slice(&key))
    }
}

fn wrap_onto(
    out: &mut Vec<u8>,
    (how, root): (How, &Root),
    purpose: Purpose,
    context: &[u8],
    key: &KeyBytes,
) -> Result<(), Error> {
    let header = header(how, root.id());
    out.extend_from_slice(&header);
    root.wrapping_key()?.seal_onto(out, &associated_data(purpose, context, &header), key.expose())
}

fn header(how: How, id: KeyId) -> Vec<u8> {
    let mut header = Vec::with_capacity(1 + Stretch::LENGTH + 8);
    match how {
        How::Key => header.push(0),
        How::Argon2id(stretch) => {
            header.push(1);
            stretch.encode_onto(&mut header);
        }
    }
    header.extend_from_slice(&id.0);
    header
}

fn associated_data(purpose: Purpose, context: &[u8], header: &[u8]) -> Vec<u8> {
    [&[FORMAT, purpose as u8], context, header].concat()
}

/// The number of different passphrase parameters among these wraps.
fn stretches(hows: impl Iterator<Item = How>) -> usize {
    let mut found = Vec::new();
    for how in hows {
        if how != How::Key && !found.contains(&how) {
            found.push(how);
        }
    }
    found.len()
}

/// The associated data of a sealed keyring: format, purpose, the number of wraps, and all wraps.
fn payload_data(before: &[u8]) -> Vec<u8> {
    let wraps = before.get(1..).unwrap_or_default();
    [&[FORMAT, Purpose::Keyring as u8], wraps].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> String {
        MasterKey::generate().unwrap().line().unwrap().to_string()
    }

    const PASSPHRASE: &str = "correct horse battery staple";

    #[test]
    fn a_keyring_opens_with_its_master_key_in_use_or_earlier_and_with_no_other() {
        let (one, two, three) = (line(), line(), line());
        let masters = MasterKeys::of(&[&one]);
        let record = masters.seal_keyring(b"clear", &[]).unwrap();
        let opened = MasterKeys::of(&[&two, &one]).open_keyring(&record).unwrap();
        assert_eq!(opened.clear.as_slice(), b"clear");
        assert_eq!(opened.opened_with, masters.current_id().unwrap());
        assert_eq!(opened.wraps, [opened.opened_with]);
        for other in [&[&two[..]][..], &[&two, &three], &[PASSPHRASE]] {
            assert_eq!(MasterKeys::of(other).open_keyring(&record).err(), Some(Error::Integrity));
        }
    }

    #[test]
    fn while_it_is_rotated_both_keys_open_a_keyring_and_afterwards_one() {
        let (old, new) = (line(), line());
        let (before, both) = (MasterKeys::of(&[&old]), MasterKeys::of(&[&new, &old, &old]));
        let (old_id, new_id) = (before.current_id().unwrap(), both.current_id().unwrap());
        let record = both.seal_keyring(b"clear", &[old_id, KeyId([7; 8])]).unwrap();
        let opened = both.open_keyring(&record).unwrap();
        assert_eq!((opened.opened_with, opened.wraps), (new_id, vec![new_id, old_id]));
        assert_eq!(before.open_keyring(&record).unwrap().opened_with, old_id);
        let record = both.seal_keyring(b"clear", &[]).unwrap();
        assert_eq!(both.open_keyring(&record).unwrap().wraps, [new_id]);
        assert!(before.open_keyring(&record).is_err());
    }

    #[test]
    fn a_passphrase_opens_what_it_sealed_and_keeps_its_salt() {
        let masters = MasterKeys::of(&[PASSPHRASE]);
        let record = masters.seal_keyring(b"clear", &[]).unwrap();
        assert_eq!(record.len(), 2 + Wrap::MAX + 5 + AeadKey::OVERHEAD);
        let again = MasterKeys::of(&[PASSPHRASE]);
        let opened = again.open_keyring(&record).unwrap();
        assert_eq!(opened.clear.as_slice(), b"clear");
        let next = again.seal_keyring(b"next", &[]).unwrap();
        assert_eq!(next[..2 + 1 + Stretch::LENGTH + 8], record[..2 + 1 + Stretch::LENGTH + 8]);
        assert_eq!(again.current_id().unwrap(), opened.opened_with);
        let other = MasterKeys::of(&["correct horse battery stable", &line()]);
        assert_eq!(other.open_keyring(&record).err(), Some(Error::Integrity));
    }

    #[test]
    fn no_altered_or_shortened_keyring_opens() {
        let (new, old) = (line(), line());
        let both = MasterKeys::of(&[&new, &old]);
        let also = MasterKeys::of(&[&old]).current_id().unwrap();
        let record = both.seal_keyring(b"clear", &[also]).unwrap();
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut altered = record.clone();
                altered[at] ^= 1 << bit;
                assert!(both.open_keyring(&altered).is_err(), "byte {at}");
            }
            assert!(both.open_keyring(&record[..at]).is_err(), "cut at {at}");
        }
        assert!(both.open_keyring(&[&record[..], b"x"].concat()).is_err());
        // A wrap cannot be removed or swapped with the other either.
        let (one, two) = (&record[2..71], &record[71..140]);
        let (count, rest) = (record[1], &record[140..]);
        assert_eq!(count, 2);
        assert!(both.open_keyring(&[&[FORMAT, 1], one, rest].concat()).is_err());
        assert!(both.open_keyring(&[&[FORMAT, 2], two, one, rest].concat()).is_err());
        assert!(both.open_keyring(&[&[FORMAT, 0], rest].concat()).is_err());
    }

    #[test]
    fn what_is_altered_costs_no_memory() {
        let masters = MasterKeys::of(&[PASSPHRASE]);
        let record = masters.seal_keyring(b"clear", &[]).unwrap();
        let mut altered = record.clone();
        altered[3..7].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(masters.open_keyring(&altered).err(), Some(Error::Integrity));
        altered[1] = 255;
        assert_eq!(masters.open_keyring(&altered).err(), Some(Error::Integrity));
    }

    #[test]
    fn a_record_has_a_few_stretches_at_most() {
        let phrases: Vec<_> = (0..6).map(|n| format!("correct horse battery staple {n}")).collect();
        let phrases: Vec<_> = phrases.iter().map(String::as_str).collect();
        let masters = MasterKeys::of(&phrases);
        let mut also = Vec::new();
        for master in masters.all() {
            let (how, root) = master.root().unwrap();
            master.keep(how);
            also.push(root.id());
        }
        // No more wraps are written than are read.
        let record = masters.seal_keyring(b"clear", &also).unwrap();
        assert_eq!(masters.open_keyring(&record).unwrap().wraps, also[..MAX_STRETCHES]);

        let (mut wraps, key) = (Vec::new(), KeyBytes::generate().unwrap());
        for master in masters.all().take(MAX_STRETCHES + 1) {
            let (how, root) = master.root().unwrap();
            wrap_onto(&mut wraps, (how, &root), Purpose::Keyring, &[], &key).unwrap();
        }
        let wraps: Vec<_> = wraps.chunks(Wrap::MAX).map(|wrap| Wrap::split(wrap).unwrap().0).collect();
        assert!(masters.unwrap(&wraps[1..], Purpose::Keyring, &[]).is_ok());
        assert_eq!(masters.unwrap(&wraps, Purpose::Keyring, &[]).err(), Some(Error::Integrity));
    }

    #[test]
    fn a_keyring_of_format_1_opens_with_keys_only() {
        let (one, two) = (line(), line());
        let masters = MasterKeys::of(&[&one]);
        let (key, id) = masters.current().format_1().unwrap().unwrap();
        let record = key.seal_in_first_format(KEYRING, b"clear").unwrap();
        let opened = MasterKeys::of(&[&two, PASSPHRASE, &one]).open_keyring(&record).unwrap();
        assert_eq!(
            (opened.clear.as_slice(), opened.opened_with, opened.wraps),
            (&b"clear"[..], id, vec![id])
        );
        assert!(MasterKeys::of(&[&two, PASSPHRASE]).open_keyring(&record).is_err());
    }
}
