//! Where a new value comes from: the caller, or the server's generator.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use uuid::Builder;
use zeroize::Zeroizing;

use crate::app::Error;
use crate::crypto::random;
use crate::domain::{BytesEncoding, Generator, Value};
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

impl ValueSource {
    /// The value, generated now where the server does so, and whether to return it to the caller.
    pub(super) fn value(self) -> Result<(Value, bool), Error> {
        match self {
            Self::Value(value) => Ok((value, false)),
            Self::Generate { generator, reveal } => Ok((generate(&generator)?, reveal)),
        }
    }
}

/// Makes a value from random numbers of the operating system.
fn generate(generator: &Generator) -> Result<Value, Error> {
    wiping_stack::<{ 8 * 1024 }, _>(|| make(generator))
}

fn make(generator: &Generator) -> Result<Value, Error> {
    let value = match generator {
        Generator::Password { length, alphabet } => Value::text(password(*length, alphabet)?),
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
    value.map_err(|_| Error::Internal("a generated value is larger than a value may be"))
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
        match generate(&generator).unwrap() {
            Value::Text(text) => text.to_string(),
            Value::Binary(_) => panic!("expected text"),
        }
    }

    #[test]
    fn a_password_uses_its_alphabet_evenly() {
        let drawn = text(Generator::password(Some(4096), "abc").unwrap());
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
        let raw = generate(&Generator::bytes(Some(100), BytesEncoding::Raw).unwrap()).unwrap();
        assert!(matches!(raw, Value::Binary(bytes) if bytes.len() == 100));
        assert_ne!(text(Generator::Uuid), text(Generator::Uuid));
    }
}
