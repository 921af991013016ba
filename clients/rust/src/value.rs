//! Conversions between secret values and Rust's strings and bytes.

use crate::error::Error;
use crate::v1::secret_value::Kind;
use crate::v1::{BatchGetSecretsItem, GetSecretResponse, Secret, SecretValue, batch_get_secrets_item};

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

impl BatchGetSecretsItem {
    /// The secret, or why the service does not return it.
    pub fn secret(&self) -> Result<&Secret, Error> {
        match &self.result {
            Some(batch_get_secrets_item::Result::Secret(secret)) => Ok(secret),
            Some(batch_get_secrets_item::Result::Error(status)) => Err(Error::of_item(status)),
            None => Err(Error::of_empty_item()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorReason;
    use crate::v1::{Credential, Redaction};
    use tonic_types::{ErrorDetails, StatusExt};

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

    #[test]
    fn an_item_is_a_secret_or_its_error_with_all_details() {
        let mut item = BatchGetSecretsItem { name: "a".into(), result: None };
        assert_eq!(item.secret().unwrap_err().code(), tonic::Code::Internal);
        item.result = Some(batch_get_secrets_item::Result::Secret(Secret::default()));
        assert!(item.secret().is_ok());
        let mut details = ErrorDetails::with_resource_info("strongroom.v1.Secret", "default/a", "", "");
        details.set_error_info("SECRET_NOT_FOUND", "strongroom", []);
        let status = tonic::Status::with_error_details(tonic::Code::NotFound, "There is no 'a'.", details);
        let sent = prost::Message::decode(status.details()).unwrap();
        item.result = Some(batch_get_secrets_item::Result::Error(sent));
        let error = item.secret().unwrap_err();
        assert_eq!(
            (error.reason(), error.code()),
            (Some(ErrorReason::SecretNotFound), tonic::Code::NotFound)
        );
        assert_eq!((error.resource(), error.message()), (Some("default/a"), "There is no 'a'."));
    }
}
