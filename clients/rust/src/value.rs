//! Conversions between secret values and Rust's strings and bytes.

use crate::v1::secret_value::Kind;
use crate::v1::{GetSecretResponse, SecretValue};

impl SecretValue {
    /// The value, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Some(Kind::Text(text)) => Some(text),
            Some(Kind::Binary(_) | Kind::Redacted(_)) | None => None,
        }
    }

    /// The value's bytes, in UTF-8 if it is text. `None` if the service left the value out.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.kind {
            Some(Kind::Text(text)) => Some(text.as_bytes()),
            Some(Kind::Binary(bytes)) => Some(bytes),
            Some(Kind::Redacted(_)) | None => None,
        }
    }
}

impl From<String> for SecretValue {
    fn from(text: String) -> Self {
        Self { kind: Some(Kind::Text(text)) }
    }
}

impl From<&str> for SecretValue {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Vec<u8>> for SecretValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self { kind: Some(Kind::Binary(bytes)) }
    }
}

impl GetSecretResponse {
    /// The value. `None` if the service left it out, as with `VIEW_METADATA`.
    pub fn value(&self) -> Option<&SecretValue> {
        self.secret.as_ref()?.value.as_ref().filter(|value| value.as_bytes().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Credential, Redaction, Secret};

    #[test]
    fn a_value_is_text_or_bytes_or_left_out() {
        let redacted = SecretValue { kind: Some(Kind::Redacted(Redaction::default().into())) };
        for (value, text, bytes) in [
            (SecretValue::from("é"), Some("é"), Some("é".as_bytes())),
            (SecretValue::from(vec![0, 255]), None, Some([0, 255].as_slice())),
            (redacted, None, None),
            (SecretValue::default(), None, None),
        ] {
            assert_eq!((value.as_text(), value.as_bytes()), (text, bytes));
            let shown = bytes.is_some();
            let secret = Secret { value: Some(value), ..Secret::default() };
            let reply = GetSecretResponse { secret: Some(secret), ..GetSecretResponse::default() };
            assert_eq!(reply.value().is_some(), shown);
        }
    }

    #[test]
    fn no_debug_shows_a_value() {
        let secret = Secret { value: Some("hidden".into()), ..Secret::default() };
        let credential = Credential { value: Some("hidden".into()), ..Credential::default() };
        assert!(!format!("{secret:?} {credential:?}").contains("hidden"));
    }
}
