//! A secret in the output: lines for people, JSON for programs. Used by every command whose reply has a secret.

use data_encoding::BASE64;
use serde_json::{Value as Json, json};
use strongroom_client::v1;
use strongroom_client::v1::secret_value::Kind;

use super::failure::Failure;
use super::metadata;
use super::output::{Output, time};
use super::policy;

/// Prints the secret of a reply.
pub(super) fn print_secret(output: Output, secret: Option<v1::Secret>) -> Result<(), Failure> {
    let secret = secret.ok_or_else(no_secret)?;
    output.print(&secret_fields(&secret), &secret_json(&secret))
}

/// Prints a secret with the value of one of its versions, and says which: `version` is the current one, and the value may be of
/// another.
pub(super) fn print_with_value(
    output: Output,
    secret: Option<v1::Secret>,
    version: u32,
) -> Result<(), Failure> {
    let secret = secret.ok_or_else(no_secret)?;
    let (mut fields, mut json) = (secret_fields(&secret), secret_json(&secret));
    if version != secret.version {
        fields.insert(2, ("value of", format!("version {version}")));
    }
    if let Some(object) = json.as_object_mut() {
        object.insert("value_version".to_owned(), json!(version));
    }
    output.print(&fields, &json)
}

pub(super) fn no_secret() -> Failure {
    Failure::local("the service sent no secret")
}

/// How a line shows a value of no bytes.
const EMPTY: &str = "(empty)";

/// The value as a line shows it; `ENCRYPTED` if the service left it out.
pub(super) fn value_text(value: Option<&v1::SecretValue>) -> String {
    match value.and_then(|value| value.kind.as_ref()) {
        // A line without a text is left out.
        Some(Kind::Text(text)) if text.is_empty() => EMPTY.to_owned(),
        Some(Kind::Binary(bytes)) if bytes.is_empty() => EMPTY.to_owned(),
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
    let mut fields = vec![
        ("name", secret.name.clone()),
        ("namespace", secret.namespace.clone()),
        ("value", value_text(secret.value.as_ref())),
        ("description", secret.description.clone()),
        ("metadata", metadata::shown(secret)),
        ("version", secret.version.to_string()),
        ("created", time(secret.created_at.as_ref())),
        ("updated", time(secret.updated_at.as_ref())),
        ("rotated", time(secret.rotated_at.as_ref())),
    ];
    let of_few = [
        ("expires", time(secret.expires_at.as_ref())),
        ("rotation", secret.rotation_policy.as_ref().map(policy::shown).unwrap_or_default()),
        ("next rotation", time(secret.next_rotation_at.as_ref())),
        ("pending version", secret.pending_version.map(|number| number.to_string()).unwrap_or_default()),
        ("claimed by", secret.rotation_claim.as_ref().map(claim_text).unwrap_or_default()),
        ("last attempt", secret.rotation_failure.as_ref().map(failure_text).unwrap_or_default()),
        ("deleted", time(secret.deleted_at.as_ref())),
        ("removed", time(secret.purge_at.as_ref())),
    ];
    // Their longer titles widen the column only where they are shown.
    fields.extend(of_few.into_iter().filter(|(_, text)| !text.is_empty()));
    fields.extend([("id", secret.id.clone()), ("etag", secret.etag.clone())]);
    fields
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
    let Some(object) = json.as_object_mut() else { return json };
    let times = [
        ("rotated_at", &secret.rotated_at),
        ("expires_at", &secret.expires_at),
        ("next_rotation_at", &secret.next_rotation_at),
        ("deleted_at", &secret.deleted_at),
        ("purge_at", &secret.purge_at),
    ];
    for (field, at) in times {
        if let Some(at) = at {
            object.insert(field.to_owned(), json!(at.to_string()));
        }
    }
    if let Some(policy) = &secret.rotation_policy {
        object.insert("rotation_policy".to_owned(), policy::json(policy));
    }
    if let Some(number) = secret.pending_version {
        object.insert("pending_version".to_owned(), json!(number));
    }
    if let Some(claim) = &secret.rotation_claim {
        let lease = time(claim.lease_expires_at.as_ref());
        let claim = json!({ "principal": claim.principal, "lease_expires_at": lease });
        object.insert("rotation_claim".to_owned(), claim);
    }
    if let Some(failure) = &secret.rotation_failure {
        object.insert("rotation_failure".to_owned(), failure_json(failure));
    }
    json
}

fn claim_text(claim: &v1::RotationClaim) -> String {
    format!("{} until {}", claim.principal, time(claim.lease_expires_at.as_ref()))
}

/// A failed rotation on one line.
pub(super) fn failure_text(failure: &v1::RotationFailure) -> String {
    let times = match failure.attempts {
        1 => "once".to_owned(),
        attempts => format!("{attempts} times"),
    };
    format!("failed {times}; next attempt at {}: {}", time(failure.retry_at.as_ref()), failure.error)
}

/// A failed rotation in JSON, with the field names of the wire.
pub(super) fn failure_json(failure: &v1::RotationFailure) -> Json {
    json!({
        "attempts": failure.attempts,
        "failed_at": time(failure.failed_at.as_ref()),
        "error": failure.error,
        "retry_at": time(failure.retry_at.as_ref()),
    })
}
