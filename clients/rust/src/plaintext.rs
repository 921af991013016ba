//! The plaintext of a secret, in memory that is wiped.

use zeroize::{Zeroize, Zeroizing};

use crate::v1::SecretValue;
use crate::v1::secret_value::Kind;

/// The value of a secret: text or bytes, 0 to 65,536 bytes.
///
/// Its memory is wiped when it is dropped. It has neither `Debug` nor `Display`, so that no print shows it, and no `Clone`. Do not log
/// what [`as_text`](Self::as_text) and [`as_bytes`](Self::as_bytes) return.
pub struct Value(Held);

enum Held {
    Text(Zeroizing<String>),
    Binary(Zeroizing<Vec<u8>>),
}

impl Value {
    /// A value that is text. It can contain newlines and NUL.
    pub fn text(text: impl Into<String>) -> Self {
        Self(Held::Text(Zeroizing::new(text.into())))
    }

    /// A value that is any bytes.
    pub fn binary(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Held::Binary(Zeroizing::new(bytes.into())))
    }

    /// The value, if it was stored as text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Held::Text(text) => Some(text),
            Held::Binary(_) => None,
        }
    }

    /// The bytes of the value, in UTF-8 if it is text.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Held::Text(text) => text.as_bytes(),
            Held::Binary(bytes) => bytes,
        }
    }

    /// Whether the value was stored as bytes, and not as text.
    pub fn is_binary(&self) -> bool {
        matches!(self.0, Held::Binary(_))
    }

    /// The value of a message. `None`: the service has left it out.
    pub(crate) fn of(mut sent: SecretValue) -> Option<Self> {
        match sent.kind.take()? {
            Kind::Text(text) => Some(Self::text(text)),
            Kind::Binary(bytes) => Some(Self::binary(bytes)),
            Kind::Redacted(_) => None,
        }
    }

    /// The message with this value, which is wiped with the message.
    pub(crate) fn sent(self) -> SecretValue {
        match self.0 {
            Held::Text(mut text) => std::mem::take(&mut *text).into(),
            Held::Binary(mut bytes) => std::mem::take(&mut *bytes).into(),
        }
    }
}

/// Overwrites the strings of a document that holds values.
pub(crate) fn wipe(document: &mut serde_json::Value) {
    match document {
        serde_json::Value::String(text) => text.zeroize(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(wipe),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(wipe),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::binary(bytes)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Redaction;

    #[test]
    fn a_value_keeps_whether_it_is_text() {
        for (value, text, bytes) in [
            (Value::from("é"), Some("é"), "é".as_bytes()),
            (Value::from(b"abc".as_slice()), None, b"abc".as_slice()),
            (Value::from(""), Some(""), b"".as_slice()),
        ] {
            assert_eq!((value.as_text(), value.as_bytes(), value.is_binary()), (text, bytes, text.is_none()));
            let back = Value::of(value.sent()).unwrap();
            assert_eq!((back.as_text(), back.as_bytes()), (text, bytes));
        }
        assert!(Value::of(SecretValue { kind: Some(Kind::Redacted(Redaction::default().into())) }).is_none());
        assert!(Value::of(SecretValue { kind: None }).is_none());
    }

    #[test]
    fn a_document_is_wiped_at_every_depth() {
        let mut document = serde_json::json!({"a": ["hidden", {"b": "hidden"}], "n": 1});
        wipe(&mut document);
        assert!(!document.to_string().contains("hidden"), "{document}");
    }
}
