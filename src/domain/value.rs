use zeroize::Zeroizing;

use super::Invalid;

/// A secret's value in the clear: 0 to 65,536 bytes, given as text or as bytes. Wiped when dropped.
///
/// Deliberately without `Debug`, `Clone`, `PartialEq` and serialization.
pub enum Value {
    /// UTF-8, returned as text again.
    Text(Zeroizing<String>),
    /// Any bytes, returned as bytes again.
    Binary(Zeroizing<Vec<u8>>),
}

impl Value {
    const MAX: usize = 64 * 1024;
    const TOO_LARGE: Invalid = Invalid::new("must be at most 65,536 bytes");

    /// A value from text, when it is within the limit.
    pub fn text(text: String) -> Result<Self, Invalid> {
        let text = Zeroizing::new(text);
        if text.len() > Self::MAX { Err(Self::TOO_LARGE) } else { Ok(Self::Text(text)) }
    }

    /// A value from bytes, when it is within the limit.
    pub fn binary(bytes: Vec<u8>) -> Result<Self, Invalid> {
        let bytes = Zeroizing::new(bytes);
        if bytes.len() > Self::MAX { Err(Self::TOO_LARGE) } else { Ok(Self::Binary(bytes)) }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The form in which a value is sealed: a byte for its kind (1 text, 2 binary), then the value.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let (kind, bytes) = match self {
            Self::Text(text) => (1, text.as_bytes()),
            Self::Binary(bytes) => (2, bytes.as_slice()),
        };
        // Reserved whole: growing would leave copies behind.
        let mut encoded = Zeroizing::new(Vec::with_capacity(1 + bytes.len()));
        encoded.push(kind);
        encoded.extend_from_slice(bytes);
        encoded
    }

    /// The value from its sealed form; `None` where that is not one.
    pub fn decode(encoded: &[u8]) -> Option<Self> {
        let (kind, bytes) = encoded.split_first()?;
        match kind {
            1 => Some(Self::Text(Zeroizing::new(std::str::from_utf8(bytes).ok()?.to_owned()))),
            2 => Some(Self::Binary(Zeroizing::new(bytes.to_vec()))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &Value, b: &Value) -> bool {
        *a.encode() == *b.encode()
    }

    #[test]
    fn decodes_what_it_encodes() {
        let values = [Value::text(String::new()), Value::text("{é}\n\0".into()), Value::binary(vec![0, 255])];
        for value in values.into_iter().flatten() {
            assert!(Value::decode(&value.encode()).is_some_and(|decoded| same(&decoded, &value)));
        }
    }

    #[test]
    fn refuses_other_encodings() {
        for encoded in [&b""[..], b"\x03a", b"\x01\xff"] {
            assert!(Value::decode(encoded).is_none());
        }
    }
}
