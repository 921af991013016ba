//! The value of a secret, in the clear.

use std::num::NonZeroU32;

use zeroize::Zeroizing;

use super::Invalid;

/// A secret's value in the clear: 0 to 65,536 bytes, as text or as bytes. Wiped from memory when dropped.
///
/// Has no `Debug`, `Clone`, `PartialEq` or serialization on purpose: a value must not be printed or copied by accident.
pub enum Value {
    /// UTF-8 text, which readers receive as text.
    Text(Zeroizing<String>),
    /// Any bytes, which readers receive as bytes.
    Binary(Zeroizing<Vec<u8>>),
}

impl Value {
    /// The largest value, in bytes.
    pub const MAX: usize = 64 * 1024;
    const TOO_LARGE: Invalid = Invalid::new("must be at most 65,536 bytes");

    /// A text value, checked against the limit.
    pub fn text(text: String) -> Result<Self, Invalid> {
        let text = Zeroizing::new(text);
        if text.len() > Self::MAX { Err(Self::TOO_LARGE) } else { Ok(Self::Text(text)) }
    }

    /// A binary value, checked against the limit.
    pub fn binary(bytes: Vec<u8>) -> Result<Self, Invalid> {
        let bytes = Zeroizing::new(bytes);
        if bytes.len() > Self::MAX { Err(Self::TOO_LARGE) } else { Ok(Self::Binary(bytes)) }
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether the value has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The form in which a value is sealed: one byte for the kind (1 text, 2 binary), then the bytes of the value.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let (kind, bytes) = match self {
            Self::Text(text) => (1, text.as_bytes()),
            Self::Binary(bytes) => (2, bytes.as_slice()),
        };
        // The capacity is reserved at once: a vector that grows leaves copies behind.
        let mut encoded = Zeroizing::new(Vec::with_capacity(1 + bytes.len()));
        encoded.push(kind);
        encoded.extend_from_slice(bytes);
        encoded
    }

    /// Reads the form that [`Value::encode`] makes; `None` where the bytes do not have this form.
    pub fn decode(encoded: &[u8]) -> Option<Self> {
        let (kind, bytes) = encoded.split_first()?;
        match kind {
            1 => Some(Self::Text(Zeroizing::new(std::str::from_utf8(bytes).ok()?.to_owned()))),
            2 => Some(Self::Binary(Zeroizing::new(bytes.to_vec()))),
            _ => None,
        }
    }
}

/// How many bytes a value has. An `Option` of it takes no more memory, since the catalog holds one for each version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueSize(NonZeroU32);

impl ValueSize {
    /// The size of a value whose [encoded form](Value::encode) has so many bytes; `None` where no value has that form.
    pub fn of_encoded(bytes: usize) -> Option<Self> {
        // The encoded form has one byte more.
        let bytes = (1..=Value::MAX + 1).contains(&bytes).then_some(bytes)?;
        Some(Self(NonZeroU32::new(u32::try_from(bytes).ok()?)?))
    }

    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0.get()) - 1
    }

    /// The size as a number that is not 0.
    pub fn number(self) -> u32 {
        self.0.get()
    }

    /// The size with this [number](ValueSize::number); `None` for 0.
    pub fn from_number(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &Value, b: &Value) -> bool {
        *a.encode() == *b.encode()
    }

    #[test]
    fn an_encoded_value_decodes_to_itself() {
        let values = [Value::text(String::new()), Value::text("{é}\n\0".into()), Value::binary(vec![0, 255])];
        for value in values.into_iter().flatten() {
            assert!(Value::decode(&value.encode()).is_some_and(|decoded| same(&decoded, &value)));
        }
    }

    #[test]
    fn the_size_of_a_value_follows_from_its_encoded_form() {
        for length in [0, 1, Value::MAX] {
            let value = Value::binary(vec![7; length]).unwrap();
            let size = ValueSize::of_encoded(value.encode().len()).unwrap();
            assert_eq!(size.bytes(), length as u64);
        }
        assert_eq!(ValueSize::of_encoded(0), None);
        assert_eq!(size_of::<Option<ValueSize>>(), 4);
    }

    #[test]
    fn refuses_other_encodings() {
        for encoded in [&b""[..], b"\x03a", b"\x01\xff"] {
            assert!(Value::decode(encoded).is_none());
        }
    }
}
