//! A secret in the output: lines for people, JSON for programs. Used by every command whose reply has a secret.

use data_encoding::BASE64;
use serde_json::{Value as Json, json};
use strongroom_client::v1;
use strongroom_client::v1::secret_value::Kind;

use super::failure::Failure;
use super::metadata;
use super::output::{Output, time};

/// Prints the secret of a reply.
pub(super) fn print_secret(output: Output, secret: Option<v1::Secret>) -> Result<(), Failure> {
    let secret = secret.ok_or_else(no_secret)?;
    output.print(&secret_fields(&secret), &secret_json(&secret))
}

pub(super) fn no_secret() -> Failure {
    Failure::local("the service sent no secret")
}

/// The value as a line shows it; `ENCRYPTED` if the service left it out.
fn value_text(value: Option<&v1::SecretValue>) -> String {
    match value.and_then(|value| value.kind.as_ref()) {
        Some(Kind::Text(text)) => text.clone(),
        Some(Kind::Binary(bytes)) => format!("(base64) {}", BASE64.encode(bytes)),
        Some(Kind::Redacted(_)) | None => "ENCRYPTED".to_owned(),
    }
}

/// The value in JSON: a string, or an object with the bytes in base64; `ENCRYPTED` if the service left it out.
fn value_json(value: Option<&v1::SecretValue>) -> Json {
    match value.and_then(|value| value.kind.as_ref()) {
        Some(Kind::Text(text)) => json!(text),
        Some(Kind::Binary(bytes)) => json!({ "binary": BASE64.encode(bytes) }),
        Some(Kind::Redacted(_)) | None => json!("ENCRYPTED"),
    }
}

/// The lines of a secret.
pub(super) fn secret_fields(secret: &v1::Secret) -> Vec<(&'static str, String)> {
    vec![
        ("name", secret.name.clone()),
        ("namespace", secret.namespace.clone()),
        ("value", value_text(secret.value.as_ref())),
        ("description", secret.description.clone()),
        ("metadata", metadata::shown(secret)),
        ("version", secret.version.to_string()),
        ("created", time(secret.created_at.as_ref())),
        ("updated", time(secret.updated_at.as_ref())),
        ("rotated", time(secret.rotated_at.as_ref())),
        ("id", secret.id.clone()),
        ("etag", secret.etag.clone()),
    ]
}

/// A secret in JSON, with the field names of the wire.
pub(super) fn secret_json(secret: &v1::Secret) -> Json {
    let mut json = json!({
        "namespace": secret.namespace,
        "name": secret.name,
        "id": secret.id,
        "value": value_json(secret.value.as_ref()),
        "description": secret.description,
        "metadata": secret.metadata,
        "version": secret.version,
        "created_at": time(secret.created_at.as_ref()),
        "updated_at": time(secret.updated_at.as_ref()),
        "etag": secret.etag,
        "revision": secret.revision,
    });
    if let (Some(at), Some(object)) = (&secret.rotated_at, json.as_object_mut()) {
        object.insert("rotated_at".to_owned(), json!(at.to_string()));
    }
    json
}
