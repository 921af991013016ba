//! Parameters for values that the server generates, checked against their limits.

use super::Invalid;

/// How the server generates a value. The app draws the random bits and follows these parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generator {
    /// A text of characters, each chosen with equal probability from an alphabet.
    Password {
        /// The number of characters: 8 to 4,096.
        length: usize,
        /// 2 or more different printable ASCII characters, without space.
        alphabet: Box<[u8]>,
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

impl Generator {
    const DEFAULT_LENGTH: u32 = 32;
    const LETTERS_AND_DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// A password of `length` characters (`None`: 32) from `alphabet` (empty: letters and digits).
    pub fn password(length: Option<u32>, alphabet: &str) -> Result<Self, Invalid> {
        let alphabet = if alphabet.is_empty() { Self::LETTERS_AND_DIGITS } else { alphabet };
        let mut different = alphabet.as_bytes().to_vec();
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
        let length = Self::length(length, 8, Invalid::new("must have a length of 8 to 4,096 characters"))?;
        Ok(Self::Password { length, alphabet: alphabet.as_bytes().into() })
    }

    /// `length` random bytes (`None`: 32) in `encoding`.
    pub fn bytes(length: Option<u32>, encoding: BytesEncoding) -> Result<Self, Invalid> {
        let length = Self::length(length, 16, Invalid::new("must have a length of 16 to 4,096 bytes"))?;
        Ok(Self::Bytes { length, encoding })
    }

    fn length(length: Option<u32>, least: usize, refused: Invalid) -> Result<usize, Invalid> {
        let length = usize::try_from(length.unwrap_or(Self::DEFAULT_LENGTH)).unwrap_or(usize::MAX);
        if (least..=4096).contains(&length) { Ok(length) } else { Err(refused) }
    }
}
