//! Signed checkpoints, and the keys that sign and verify them.
//!
//! A checkpoint is the text of [C2SP tlog-checkpoint]: the origin, the number of records, and the root in base64, each on a line.
//! It is a signed note ([C2SP signed-note]): the text, an empty line, and a line with the name of the key and its Ed25519
//! signature. The name of a log's key is the log's origin.
//!
//! [C2SP tlog-checkpoint]: https://c2sp.org/tlog-checkpoint
//! [C2SP signed-note]: https://c2sp.org/signed-note

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use zeroize::Zeroizing;

use super::tree::TreeHead;
use crate::crypto::{Error, KeyBytes, PublicKey, SigningKey, random, sha256};

/// The signature algorithm Ed25519, in the keys of signed notes.
const ED25519: u8 = 1;
/// The beginning of a private key's text.
const PRIVATE_KEY: &str = "PRIVATE+KEY";
/// The beginning of the line of a signature: an em dash and a space.
const SIGNATURE: &str = "\u{2014} ";

/// The private key of a log.
pub struct LogKey {
    bytes: KeyBytes,
    signing: SigningKey,
    verifier: VerifierKey,
}

impl LogKey {
    /// A new key, with a random name that is the origin of its log.
    pub fn generate() -> Result<Self, Error> {
        let id: [u8; 8] = random()?;
        Self::of(format!("strongroom/audit/{}", HEXLOWER.encode(&id)), KeyBytes::generate()?)
    }

    fn of(name: String, bytes: KeyBytes) -> Result<Self, Error> {
        let signing = SigningKey::new(&bytes)?;
        let verifier = VerifierKey::of(name, signing.public().clone());
        Ok(Self { bytes, signing, verifier })
    }

    /// The id in its name. Zero for a name that this service has not made.
    pub fn id(&self) -> [u8; 8] {
        let id = self.verifier.name.rsplit('/').next().map(|id| HEXLOWER.decode(id.as_bytes()));
        id.and_then(Result::ok).and_then(|id| id.try_into().ok()).unwrap_or_default()
    }

    /// The key that verifies its signatures.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// As text: `PRIVATE+KEY+NAME+ID+BASE64`.
    pub fn to_text(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new([&[ED25519], self.bytes.expose().as_slice()].concat());
        let (encoded, VerifierKey { name, id, .. }) = (Zeroizing::new(BASE64.encode(&bytes)), &self.verifier);
        Zeroizing::new(format!("{PRIVATE_KEY}+{name}+{}+{}", HEXLOWER.encode(id), *encoded))
    }

    /// Reads the text of a key; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PRIVATE_KEY)?.strip_prefix('+')?;
        let (name, rest) = rest.split_once('+')?;
        let (id, encoded) = rest.split_once('+')?;
        let bytes = Zeroizing::new(BASE64.decode(encoded.as_bytes()).ok()?);
        let key = KeyBytes::from_slice(bytes.strip_prefix(&[ED25519])?)?;
        let key = Self::of(checked_name(name)?.to_owned(), key).ok()?;
        (HEXLOWER.encode(&key.verifier.id) == id).then_some(key)
    }

    /// The signed checkpoint of a tree.
    pub fn sign(&self, head: &TreeHead) -> Result<String, Error> {
        let name = &self.verifier.name;
        let text = format!("{name}\n{}\n{}\n", head.size, BASE64.encode(&head.root));
        let signature = self.signing.sign(text.as_bytes())?;
        let signature = BASE64.encode(&[self.verifier.id.as_slice(), &signature].concat());
        Ok(format!("{text}\n{SIGNATURE}{name} {signature}\n"))
    }
}

/// The public key of a log, which verifies its checkpoints. As text: `NAME+ID+BASE64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: PublicKey,
}

impl VerifierKey {
    fn of(name: String, key: PublicKey) -> Self {
        let [a, b, c, d, ..] = sha256(&[name.as_bytes(), b"\n", &[ED25519], &key.0]);
        Self { id: [a, b, c, d], name, key }
    }

    /// Reads the text of a key; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('+')?;
        let (id, encoded) = rest.split_once('+')?;
        let bytes = BASE64.decode(encoded.as_bytes()).ok()?;
        let key = PublicKey(bytes.strip_prefix(&[ED25519])?.try_into().ok()?);
        let key = Self::of(checked_name(name)?.to_owned(), key);
        (HEXLOWER.encode(&key.id) == id).then_some(key)
    }

    /// The name of the key, which is the origin of its log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tree of a checkpoint that this key has signed.
    pub fn open(&self, note: &str) -> Result<TreeHead, NoteError> {
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let text = format!("{text}\n");
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NoteError::Malformed);
        }
        let mut signed = false;
        for line in signatures.split('\n') {
            let (name, encoded) = line
                .strip_prefix(SIGNATURE)
                .and_then(|rest| rest.split_once(' '))
                .ok_or(NoteError::Malformed)?;
            let signature = BASE64.decode(encoded.as_bytes()).map_err(|_| NoteError::Malformed)?;
            // A checkpoint can have the signatures of others too, such as witnesses.
            let Some(signature) = signature.strip_prefix(&self.id).filter(|_| name == self.name) else {
                continue;
            };
            if !self.key.verify(text.as_bytes(), signature) {
                return Err(NoteError::Forged);
            }
            signed = true;
        }
        if !signed {
            return Err(NoteError::OtherKey);
        }
        self.head(&text).ok_or(NoteError::Malformed)
    }

    /// The tree of a checkpoint's text.
    fn head(&self, text: &str) -> Option<TreeHead> {
        let mut lines = text.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let number: u64 = size.parse().ok()?;
        if origin != self.name || number.to_string() != size {
            return None;
        }
        Some(TreeHead { size: number, root: BASE64.decode(root.as_bytes()).ok()?.try_into().ok()? })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64.encode(&[&[ED25519], self.key.0.as_slice()].concat());
        write!(f, "{}+{}+{key}", self.name, HEXLOWER.encode(&self.id))
    }
}

/// A name that a key can have.
fn checked_name(name: &str) -> Option<&str> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    (!name.is_empty() && !name.contains(bad)).then_some(name)
}

/// Why a checkpoint does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is no checkpoint, or was cut off.
    #[error("it is not a signed checkpoint")]
    Malformed,
    /// It has no signature of this key.
    #[error("it is signed by another key: it belongs to another log")]
    OtherKey,
    /// The signature is not of its text.
    #[error("its signature is not valid: it was altered")]
    Forged,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: TreeHead = TreeHead { size: 12, root: [9; 32] };

    /// The example of Go's `golang.org/x/mod/sumdb/note`, from which the format comes.
    #[test]
    fn a_key_and_a_note_of_another_implementation_are_read() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key = VerifierKey::parse(text).unwrap();
        assert_eq!(key.to_string(), text);
        let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
                    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        // Its signature is valid, but its text is no checkpoint.
        assert_eq!(key.open(note), Err(NoteError::Malformed));
        assert_eq!(key.open(&note.replace("think", "thank")), Err(NoteError::Forged));
    }

    #[test]
    fn a_checkpoint_opens_with_its_own_key_only() {
        let key = LogKey::generate().unwrap();
        let note = key.sign(&HEAD).unwrap();
        assert_eq!(key.verifier().open(&note), Ok(HEAD));
        assert_eq!(VerifierKey::parse(&key.verifier().to_string()).unwrap().open(&note), Ok(HEAD));
        assert_eq!(LogKey::generate().unwrap().verifier().open(&note), Err(NoteError::OtherKey));
        assert_eq!(key.verifier().open(&note.replace("\n12\n", "\n13\n")), Err(NoteError::Forged));
        let witnessed = format!("{note}\u{2014} witness.example/w AAAAAAAA\n");
        assert_eq!(key.verifier().open(&witnessed), Ok(HEAD));
        for length in 0..note.len() {
            if let Some(cut) = note.get(..length) {
                assert!(key.verifier().open(cut).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn a_private_key_is_read_as_it_was_written() {
        let key = LogKey::generate().unwrap();
        let text = key.to_text();
        let read = LogKey::parse(&text).unwrap();
        assert_eq!(read.verifier(), key.verifier());
        assert_eq!(*read.to_text(), *text);
        for other in ["", "PRIVATE+KEY", &text[..text.len() - 4], &text.replacen("audit", "other", 1)] {
            assert!(LogKey::parse(other).is_none());
        }
        for other in ["", "a", "a+b+c", "+00000000+AQ==", "a b+00000000+AQ=="] {
            assert!(VerifierKey::parse(other).is_none());
        }
    }
}
