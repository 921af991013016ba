//! Where a new value comes from: the caller, or the server's generator.

use std::mem;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use uuid::Builder;
use zeroize::Zeroizing;

use crate::app::Error;
use crate::crypto::{KeyPairPem, random};
use crate::domain::{BytesEncoding, CharacterClass, Generator, KeyPairAlgorithm, Metadata, Value};
use crate::process::wiping_stack;

/// Where a value comes from.
pub enum ValueSource {
    /// The caller gives it.
    Value(Value),
    /// The server generates it.
    Generate {
        /// How the value is made.
        generator: Generator,
        /// Whether the caller wants to see the value.
        reveal: bool,
    },
}

/// A value that is to become a version of a secret.
pub(in crate::app) struct NewValue {
    pub(in crate::app) value: Value,
    /// Whether to return the value to the caller.
    pub(in crate::app) reveal: bool,
    /// The public key that belongs to the value.
    public_key: Option<String>,
}

/// The key of the metadata that has the public key of a generated private key.
const PUBLIC_KEY: &str = "public_key";

/// The public key of a value that is a private key as the service generates them.
pub(super) fn public_key_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => wiping_stack::<{ 8 * 1024 }, _>(|| KeyPairPem::public_of(text)),
        Value::Binary(_) => None,
    }
}

/// Whether the metadata has a public key, as the service or a person writes it.
pub(super) fn has_public_key(metadata: &Metadata) -> bool {
    metadata.iter().any(|(key, value)| key == PUBLIC_KEY && value.starts_with("-----BEGIN PUBLIC KEY-----"))
}

/// The metadata after a change of the current version, to one with this public key: it takes the place of the former one.
pub(super) fn with_public_key(metadata: &Metadata, public_key: Option<&str>) -> Result<Metadata, Error> {
    let replaced = public_key.filter(|_| metadata.iter().any(|(key, _)| key == PUBLIC_KEY));
    match replaced {
        Some(public_key) => {
            let invalid = |_| Error::Internal("a public key is larger than metadata may be");
            metadata.with(PUBLIC_KEY, public_key).map_err(invalid)
        }
        None => Ok(metadata.clone()),
    }
}

impl ValueSource {
    /// The value, generated now where the server does so.
    pub(in crate::app) fn value(self) -> Result<NewValue, Error> {
        match self {
            Self::Value(value) => Ok(NewValue { value, reveal: false, public_key: None }),
            Self::Generate { generator, reveal } => Ok(NewValue { reveal, ..generate(&generator)? }),
        }
    }
}

impl NewValue {
    /// The metadata that a secret with this value has, where it had these before. `former`: the public key of a version before, if
    /// it is known. Where the metadata has it, it does not stay: it is not the one of this value.
    pub(in crate::app) fn metadata(
        &self,
        before: &Metadata,
        former: Option<&str>,
    ) -> Result<Metadata, Error> {
        let Some(public_key) = &self.public_key else {
            if !former.is_some_and(|former| before.has(PUBLIC_KEY, former)) {
                return Ok(before.clone());
            }
            return match public_key_of(&self.value) {
                Some(given) => with_public_key(before, Some(&given)),
                None => Ok(before.without(PUBLIC_KEY)),
            };
        };
        let full = |_| {
            Error::invalid("metadata", "must have less than 64 pairs: the public key of a key pair takes one")
        };
        before.with(PUBLIC_KEY, public_key).map_err(full)
    }

    /// Whether a public key belongs to the value.
    pub(in crate::app) fn has_public_key(&self) -> bool {
        self.public_key.is_some()
    }

    /// The value, where the caller wants to see it.
    pub(in crate::app) fn revealed(self) -> Option<Value> {
        self.reveal.then_some(self.value)
    }
}

/// Makes a value from random numbers of the operating system.
fn generate(generator: &Generator) -> Result<NewValue, Error> {
    wiping_stack::<{ 8 * 1024 }, _>(|| make(generator))
}

fn make(generator: &Generator) -> Result<NewValue, Error> {
    let mut public_key = None;
    let value = match generator {
        Generator::Password { length, alphabet, required } => {
            Value::text(password_with(*length, alphabet, required)?)
        }
        Generator::Passphrase { words, separator } => Value::text(passphrase(*words, separator)?),
        Generator::KeyPair(algorithm) => {
            let KeyPairPem { mut private, public } = match algorithm {
                KeyPairAlgorithm::Ed25519 => KeyPairPem::ed25519()?,
                KeyPairAlgorithm::EcdsaP256 => KeyPairPem::ecdsa_p256()?,
            };
            public_key = Some(public);
            Value::text(mem::take(&mut *private))
        }
        Generator::Bytes { length, encoding } => {
            let bytes = random_bytes(*length)?;
            match encoding {
                BytesEncoding::Base64Url => Value::text(BASE64URL_NOPAD.encode(&bytes)),
                BytesEncoding::Hex => Value::text(HEXLOWER.encode(&bytes)),
                BytesEncoding::Raw => Value::binary(bytes.to_vec()),
            }
        }
        Generator::Uuid => {
            let bytes = Zeroizing::new(random()?);
            let mut text = Zeroizing::new(uuid::Uuid::encode_buffer());
            Value::text(
                Builder::from_random_bytes(*bytes)
                    .into_uuid()
                    .hyphenated()
                    .encode_lower(&mut *text)
                    .to_owned(),
            )
        }
    };
    let value = value.map_err(|_| Error::Internal("a generated value is larger than a value may be"))?;
    Ok(NewValue { value, reveal: false, public_key })
}

/// A password that has a character of each class. One that has not is thrown away as a whole, so that all that have are equally
/// probable.
fn password_with(length: usize, alphabet: &[u8], required: &[CharacterClass]) -> Result<String, Error> {
    loop {
        let password = Zeroizing::new(password(length, alphabet)?);
        if required.iter().all(|class| password.bytes().any(|character| class.has(character))) {
            return Ok(password.as_str().to_owned());
        }
    }
}

/// Words of the English list of BIP 39, which has 2,048: each word has 11 random bits.
fn passphrase(words: usize, separator: &str) -> Result<String, Error> {
    let list = bip39::Language::English.word_list();
    let longest = 8;
    let mut passphrase = String::with_capacity(words * (longest + separator.len()));
    for pair in random_bytes(2 * words)?.chunks_exact(2) {
        let &[high, low] = pair else { break };
        let number = usize::from(u16::from_be_bytes([high, low])) % list.len();
        if !passphrase.is_empty() {
            passphrase.push_str(separator);
        }
        passphrase.push_str(list.get(number).copied().unwrap_or_default());
    }
    Ok(passphrase)
}

/// Characters of the alphabet, all with the same probability. A random byte beyond the last whole multiple of the alphabet's
/// size is thrown away: its remainder would favour the first characters.
fn password(length: usize, alphabet: &[u8]) -> Result<String, Error> {
    let even = 256 - 256 % alphabet.len();
    let mut password = String::with_capacity(length);
    while password.len() < length {
        for byte in random_bytes(length)?.iter().map(|byte| usize::from(*byte)) {
            if byte < even
                && password.len() < length
                && let Some(character) = alphabet.get(byte % alphabet.len())
            {
                password.push(char::from(*character));
            }
        }
    }
    Ok(password)
}

fn random_bytes(length: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 32));
    while bytes.len() < length {
        bytes.extend_from_slice(&*Zeroizing::new(random::<32>()?));
    }
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(generator: Generator) -> String {
        match generate(&generator).unwrap().value {
            Value::Text(text) => text.to_string(),
            Value::Binary(_) => panic!("expected text"),
        }
    }

    #[test]
    fn a_password_uses_its_alphabet_evenly() {
        let drawn = text(Generator::password(Some(4096), "abc", Vec::new()).unwrap());
        assert_eq!(drawn.len(), 4096);
        for character in ['a', 'b', 'c'] {
            let share = drawn.matches(character).count();
            // 1365 are expected, with a standard deviation of 30. Ten deviations away, the draw is not even.
            assert!((1065..1665).contains(&share), "{character}: {share}");
        }
        assert!(drawn.chars().all(|character| "abc".contains(character)));
    }

    #[test]
    fn bytes_have_their_length_in_every_encoding() {
        assert_eq!(text(Generator::bytes(None, BytesEncoding::Hex).unwrap()).len(), 64);
        assert_eq!(text(Generator::bytes(Some(17), BytesEncoding::Base64Url).unwrap()).len(), 23);
        let raw = generate(&Generator::bytes(Some(100), BytesEncoding::Raw).unwrap()).unwrap().value;
        assert!(matches!(raw, Value::Binary(bytes) if bytes.len() == 100));
        assert_ne!(text(Generator::Uuid), text(Generator::Uuid));
    }

    #[test]
    fn a_password_has_each_required_class() {
        use CharacterClass::{Digit, Lower, Symbol, Upper};
        for _ in 0..200 {
            let drawn = text(Generator::password(Some(8), "", vec![Lower, Upper, Digit, Symbol]).unwrap());
            assert_eq!(drawn.len(), 8);
            for class in [Lower, Upper, Digit, Symbol] {
                assert!(drawn.bytes().any(|character| class.has(character)), "{class:?}");
            }
        }
    }

    #[test]
    fn a_passphrase_has_its_words() {
        let drawn = text(Generator::passphrase(Some(64), Some(", ")).unwrap());
        let list = bip39::Language::English.word_list();
        let words: Vec<_> = drawn.split(", ").collect();
        assert_eq!(words.len(), 64);
        assert!(words.iter().all(|word| list.contains(word)));
        assert!(list.iter().all(|word| word.len() <= 8));
        assert_ne!(
            words,
            text(Generator::passphrase(Some(64), Some(", ")).unwrap()).split(", ").collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_key_pair_puts_its_public_key_into_the_metadata() {
        for algorithm in [KeyPairAlgorithm::Ed25519, KeyPairAlgorithm::EcdsaP256] {
            let made = generate(&Generator::KeyPair(algorithm)).unwrap();
            let before = Metadata::parse([("owner".to_owned(), "payments".to_owned())].into()).unwrap();
            let metadata = made.metadata(&before, None).unwrap();
            assert!(metadata.has("owner", "payments"));
            let public = metadata.iter().find(|(key, _)| *key == PUBLIC_KEY).unwrap().1;
            assert!(public.starts_with("-----BEGIN PUBLIC KEY-----"));
            let full = (0..64).map(|n| (format!("key{n}"), String::new())).collect();
            assert!(made.metadata(&Metadata::parse(full).unwrap(), None).is_err());
            // A later public key takes the place of the former one.
            let next = generate(&Generator::KeyPair(algorithm)).unwrap();
            assert_eq!(next.metadata(&metadata, None).unwrap().iter().count(), 2);
            // Another value removes it, if it was that of the former value.
            let other = ValueSource::Value(Value::text("other".to_owned()).unwrap()).value().unwrap();
            assert_eq!(other.metadata(&metadata, Some(public)).unwrap(), before);
            assert_eq!(other.metadata(&metadata, Some("another")).unwrap(), metadata);
            assert_eq!(other.metadata(&metadata, None).unwrap(), metadata);
            // A private key that the caller gives has its own in that place.
            let public_of_next = next.public_key.clone().unwrap();
            let given = ValueSource::Value(next.value).value().unwrap();
            assert!(given.metadata(&metadata, Some(public)).unwrap().has(PUBLIC_KEY, &public_of_next));
        }
    }
}
