use std::fmt;
use std::sync::Arc;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use zeroize::Zeroizing;

use super::passphrase::{Passphrase, Stretch};
use crate::crypto::aead::{AeadKey, Error, KeyBytes};
use crate::crypto::envelope::SealingKey;

/// The key above all other keys: 256 bits, or a passphrase from which they are derived. It is never in the store.
pub struct MasterKey(Secret);

enum Secret {
    Key(Arc<Root>),
    Passphrase(Passphrase),
}

/// Identifies a master key, and reveals nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// How the 256 bits are obtained.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::crypto) enum How {
    /// They are the key itself.
    Key,
    /// They are derived from a passphrase.
    Argon2id(Stretch),
}

/// The 256 bits, with their id.
pub(in crate::crypto) struct Root {
    bytes: KeyBytes,
    id: KeyId,
}

impl MasterKey {
    const PREFIX: &str = "srmk_";

    /// A new key.
    pub fn generate() -> Result<Self, Error> {
        Self::of(KeyBytes::generate()?)
    }

    /// The line of this key in a file: `srmk_`, 43 characters of base64url, and a line break. `None` for a
    /// passphrase.
    pub fn line(&self) -> Option<Zeroizing<String>> {
        let Secret::Key(root) = &self.0 else { return None };
        let encoded = Zeroizing::new(BASE64URL_NOPAD.encode(root.bytes.expose()));
        Some(Zeroizing::new(format!("{}{}\n", Self::PREFIX, *encoded)))
    }

    /// Reads the key in a line; `None` where the line is none.
    pub(super) fn parse(line: &[u8]) -> Result<Option<Self>, Error> {
        let Some(encoded) = line.trim_ascii().strip_prefix(Self::PREFIX.as_bytes()) else { return Ok(None) };
        let decoded = BASE64URL_NOPAD.decode(encoded).map(Zeroizing::new);
        let bytes = decoded.ok().and_then(|decoded| KeyBytes::from_slice(&decoded));
        bytes.map(Self::of).transpose()
    }

    /// The key derived from a passphrase.
    pub(super) fn from_passphrase(text: &[u8]) -> Self {
        Self(Secret::Passphrase(Passphrase::new(text)))
    }

    fn of(bytes: KeyBytes) -> Result<Self, Error> {
        Ok(Self(Secret::Key(Arc::new(Root::new(bytes)?))))
    }

    /// The key to seal with. A passphrase is stretched for it, unless that was done before: it takes a tenth of a
    /// second.
    pub(in crate::crypto) fn root(&self) -> Result<(How, Arc<Root>), Error> {
        match &self.0 {
            Secret::Key(root) => Ok((How::Key, root.clone())),
            Secret::Passphrase(passphrase) => {
                let (stretch, root) = passphrase.root()?;
                Ok((How::Argon2id(stretch), root))
            }
        }
    }

    /// The key to seal with beside the key in use: one of these ids that this master key has and has used before.
    pub(in crate::crypto) fn used_root(&self, ids: &[KeyId]) -> Option<(How, Arc<Root>)> {
        match &self.0 {
            Secret::Key(root) => ids.contains(&root.id).then(|| (How::Key, root.clone())),
            Secret::Passphrase(passphrase) => {
                let (stretch, root) = passphrase.kept(|_, root| ids.contains(&root.id))?;
                Some((How::Argon2id(stretch), root))
            }
        }
    }

    /// The key that opens seals by the key of this id; `None` where this master key has another id.
    pub(in crate::crypto) fn root_of(&self, how: How, id: KeyId) -> Result<Option<Arc<Root>>, Error> {
        Ok(self.root_by(how)?.filter(|root| root.id == id))
    }

    /// The 256 bits obtained in this way; `None` where this master key is of another kind.
    pub(in crate::crypto) fn root_by(&self, how: How) -> Result<Option<Arc<Root>>, Error> {
        match (&self.0, how) {
            (Secret::Key(root), How::Key) => Ok(Some(root.clone())),
            (Secret::Passphrase(passphrase), How::Argon2id(stretch)) => {
                passphrase.stretched(stretch).map(Some)
            }
            (Secret::Key(_), How::Argon2id(_)) | (Secret::Passphrase(_), How::Key) => Ok(None),
        }
    }

    /// From now on this master key seals with the bits that opened a seal, so that a passphrase keeps its salt.
    pub(in crate::crypto) fn keep(&self, how: How) {
        match (&self.0, how) {
            (Secret::Passphrase(passphrase), How::Argon2id(stretch)) => passphrase.keep(stretch),
            (Secret::Key(_) | Secret::Passphrase(_), How::Key | How::Argon2id(_)) => {}
        }
    }

    /// The key of format 1, which knows no passphrases, and its id.
    pub(in crate::crypto) fn format_1(&self) -> Result<Option<(SealingKey, KeyId)>, Error> {
        let Secret::Key(root) = &self.0 else { return Ok(None) };
        Ok(Some((SealingKey::new(0, &root.bytes)?, root.id)))
    }
}

impl Root {
    pub(super) fn new(bytes: KeyBytes) -> Result<Self, Error> {
        let [a, b, c, d, e, f, g, h, ..] = *bytes.derive("strongroom v1 master key id")?.expose();
        Ok(Self { bytes, id: KeyId([a, b, c, d, e, f, g, h]) })
    }

    pub(in crate::crypto) fn id(&self) -> KeyId {
        self.id
    }

    /// The key that wraps other keys.
    pub(in crate::crypto) fn wrapping_key(&self) -> Result<AeadKey, Error> {
        AeadKey::new(&self.bytes.derive("strongroom v1 master key wraps")?)
    }

    #[cfg(test)]
    pub(in crate::crypto) fn expose(&self) -> &[u8; 32] {
        self.bytes.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_its_line_and_from_nothing_else() {
        let key = MasterKey::generate().unwrap();
        let line = key.line().unwrap();
        assert_eq!(line.len(), "srmk_".len() + 43 + 1);
        let again = MasterKey::parse(line.as_bytes()).unwrap().unwrap();
        assert_eq!(again.line().unwrap(), line);
        assert_eq!(again.root().unwrap().1.id(), key.root().unwrap().1.id());
        for other in [&line[1..], &line[..40], &format!("{}A", line.trim()), "srmk_", "", "srk_abc"] {
            assert!(MasterKey::parse(other.as_bytes()).unwrap().is_none());
        }
    }

    #[test]
    fn an_id_is_of_its_key_and_shown_in_hex() {
        let root = |byte| Root::new(KeyBytes::from_slice(&[byte; 32]).unwrap()).unwrap();
        assert_eq!(root(1).id(), root(1).id());
        assert_ne!(root(1).id(), root(2).id());
        assert_eq!(KeyId([0, 1, 2, 3, 4, 5, 6, 0xff]).to_string(), "00010203040506ff");
    }
}
