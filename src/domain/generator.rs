//! Parameters for values that the server generates, checked against their limits.

use super::Invalid;

/// How the server generates a value. The app draws the random bits and follows these parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generator {
    /// A text of characters, each chosen with equal probability from an alphabet.
    Password {
        /// The number of characters: 8 to 4,096.
        length: usize,
        /// 2 or more different printable ASCII characters, without space. It has characters of each required class.
        alphabet: Box<[u8]>,
        /// The classes of which there must be one character each, in their order, each once.
        required: Box<[CharacterClass]>,
    },
    /// Random bytes in an encoding.
    Bytes {
        /// The number of random bytes, before they are encoded: 16 to 4,096.
        length: usize,
        /// How the bytes become a value.
        encoding: BytesEncoding,
    },
    /// A random UUID (version 4, RFC 9562), as text.
    Uuid,
    /// A text of words, each chosen with equal probability from a public list.
    Passphrase {
        /// The number of words: 4 to 64.
        words: usize,
        /// The text between two words: at most 8 printable ASCII characters and spaces.
        separator: Box<str>,
    },
    /// A private key in PEM. Its public key goes into the metadata.
    KeyPair(KeyPairAlgorithm),
}

/// A class of printable ASCII characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CharacterClass {
    /// `a` to `z`.
    Lower,
    /// `A` to `Z`.
    Upper,
    /// `0` to `9`.
    Digit,
    /// All others, without space.
    Symbol,
}

/// A kind of key pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPairAlgorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on the curve P-256 (FIPS 186-5).
    EcdsaP256,
}

/// How random bytes become a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BytesEncoding {
    /// Text: base64 with the URL-safe alphabet, without padding (RFC 4648 section 5).
    Base64Url,
    /// Text: lower-case hexadecimal.
    Hex,
    /// The bytes themselves.
    Raw,
}

impl CharacterClass {
    /// Whether a character belongs to the class.
    pub fn has(self, character: u8) -> bool {
        match self {
            Self::Lower => character.is_ascii_lowercase(),
            Self::Upper => character.is_ascii_uppercase(),
            Self::Digit => character.is_ascii_digit(),
            Self::Symbol => character.is_ascii_punctuation(),
        }
    }
}

impl Generator {
    const DEFAULT_LENGTH: u32 = 32;
    const DEFAULT_WORDS: u32 = 8;

    /// A password of `length` characters (`None`: 32) from `alphabet`, with at least one character of each class in `required`. An
    /// empty alphabet is the letters and digits, and the characters of these classes.
    pub fn password(
        length: Option<u32>,
        alphabet: &str,
        mut required: Vec<CharacterClass>,
    ) -> Result<Self, Invalid> {
        required.sort_unstable();
        required.dedup();
        let alphabet: Box<[u8]> = if alphabet.is_empty() {
            let of_class = |character: &u8| required.iter().any(|class| class.has(*character));
            (b'!'..=b'~')
                .filter(|character| character.is_ascii_alphanumeric() || of_class(character))
                .collect()
        } else {
            alphabet.as_bytes().into()
        };
        let mut different = alphabet.to_vec();
        different.sort_unstable();
        different.dedup();
        if different.len() < 2
            || different.len() != alphabet.len()
            || !different.iter().all(u8::is_ascii_graphic)
        {
            return Err(Invalid::new(
                "must have an alphabet of 2 or more different printable ASCII characters, without space",
            ));
        }
        if !required.iter().all(|class| alphabet.iter().any(|character| class.has(*character))) {
            return Err(Invalid::new("must have an alphabet with characters of each required class"));
        }
        let length = Self::length(length, 8, Invalid::new("must have a length of 8 to 4,096 characters"))?;
        Ok(Self::Password { length, alphabet, required: required.into() })
    }

    /// `length` random bytes (`None`: 32) in `encoding`.
    pub fn bytes(length: Option<u32>, encoding: BytesEncoding) -> Result<Self, Invalid> {
        let length = Self::length(length, 16, Invalid::new("must have a length of 16 to 4,096 bytes"))?;
        Ok(Self::Bytes { length, encoding })
    }

    /// `words` words (`None`: 8) with `separator` between them (`None`: a hyphen).
    pub fn passphrase(words: Option<u32>, separator: Option<&str>) -> Result<Self, Invalid> {
        let words = usize::try_from(words.unwrap_or(Self::DEFAULT_WORDS)).unwrap_or(usize::MAX);
        if !(4..=64).contains(&words) {
            return Err(Invalid::new("must have 4 to 64 words"));
        }
        let separator = separator.unwrap_or("-");
        let printable = |character: u8| character == b' ' || character.is_ascii_graphic();
        if separator.len() > 8 || !separator.bytes().all(printable) {
            return Err(Invalid::new(
                "must have a separator of at most 8 printable ASCII characters or spaces",
            ));
        }
        Ok(Self::Passphrase { words, separator: separator.into() })
    }

    fn length(length: Option<u32>, least: usize, refused: Invalid) -> Result<usize, Invalid> {
        let length = usize::try_from(length.unwrap_or(Self::DEFAULT_LENGTH)).unwrap_or(usize::MAX);
        if (least..=4096).contains(&length) { Ok(length) } else { Err(refused) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_classes_are_in_the_alphabet() {
        use CharacterClass::{Digit, Lower, Symbol, Upper};
        let alphabet = |given: &str, required: &[CharacterClass]| match Generator::password(
            None,
            given,
            required.to_vec(),
        ) {
            Ok(Generator::Password { alphabet, .. }) => Some(alphabet.len()),
            _ => None,
        };
        assert_eq!(alphabet("", &[]), Some(62));
        assert_eq!(alphabet("", &[Digit, Symbol, Digit]), Some(94));
        assert_eq!(alphabet("ab1", &[Lower, Digit]), Some(3));
        assert_eq!(alphabet("ab1", &[Upper]), None);
    }

    #[test]
    fn passphrases_have_bounds() {
        assert!(Generator::passphrase(Some(3), None).is_err());
        assert!(Generator::passphrase(Some(65), None).is_err());
        assert!(Generator::passphrase(None, Some("123456789")).is_err());
        assert!(Generator::passphrase(None, Some("\n")).is_err());
        assert!(Generator::passphrase(Some(4), Some("")).is_ok());
    }
}
