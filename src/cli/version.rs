//! A version of a secret: how `promote`, `disable`, `enable` and `destroy` name one, and how the output shows one.

use serde_json::{Value as Json, json};
use strongroom_client::v1;

use super::failure::Failure;
use super::output::{self, Output};
use super::secret::secret_json;

/// The arguments that name a version.
#[derive(clap::Args)]
pub(super) struct VersionArgs {
    /// The secret's name
    pub(super) name: String,

    /// The version's number
    #[arg(value_name = "N", value_parser = number)]
    pub(super) version: u32,

    /// Change the version only if the secret still has this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) etag: String,
}

/// Reads the number of a version.
pub(super) fn number(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "must be the number of a version, such as 3")
}

/// How new the answer to a read must be.
pub(super) fn consistency(cached: bool) -> v1::Consistency {
    if cached { v1::Consistency::Cached } else { v1::Consistency::Unspecified }
}

/// Prints a changed version with its secret.
pub(super) fn print_changed(
    output: Output,
    version: Option<v1::SecretVersion>,
    secret: Option<v1::Secret>,
    revision: u64,
) -> Result<(), Failure> {
    let (version, secret) =
        version.zip(secret).ok_or_else(|| Failure::local("the service sent no version"))?;
    let json = json!({
        "version": version_json(&version),
        "secret": secret_json(&secret),
        "revision": revision,
    });
    let fields = [
        ("name", secret.name),
        ("namespace", secret.namespace),
        ("version", version.number.to_string()),
        ("state", state_name(version.state())),
        ("created", output::time(version.created_at.as_ref())),
        ("state changed", output::time(version.state_changed_at.as_ref())),
        ("current", if version.current { "yes" } else { "no" }.to_owned()),
        ("etag", secret.etag),
    ];
    output.print(&fields, &json)
}

/// A version in JSON, with the field names of the wire.
pub(super) fn version_json(version: &v1::SecretVersion) -> Json {
    let time = |at: &Option<prost_types::Timestamp>| at.as_ref().map(ToString::to_string);
    let mut json = json!({
        "number": version.number,
        "state": state_name(version.state()),
        "created_at": time(&version.created_at),
        "state_changed_at": time(&version.state_changed_at),
        "current": version.current,
    });
    if let Some(object) = json.as_object_mut() {
        if let Some(at) = time(&version.retires_at) {
            object.insert("retires_at".to_owned(), json!(at));
        }
        // Only a list of versions says when they were read, and only where they were.
        if let Some(at) = time(&version.last_read_at) {
            object.insert("last_read_at".to_owned(), json!(at));
        }
        if version.last_read_at.is_some() || !version.consumers.is_empty() {
            let consumers: Vec<_> = version.consumers.iter().map(consumer_json).collect();
            object.insert("consumers".to_owned(), json!(consumers));
        }
    }
    json
}

fn consumer_json(consumer: &v1::Consumer) -> Json {
    let time = |at: &Option<prost_types::Timestamp>| at.as_ref().map(ToString::to_string);
    let mut json = json!({ "principal": consumer.principal, "last_read_at": time(&consumer.last_read_at) });
    if let Some(object) = json.as_object_mut() {
        if let Some(at) = time(&consumer.acknowledged_at) {
            object.insert("acknowledged_at".to_owned(), json!(at));
        }
        if !consumer.consumer.is_empty() {
            object.insert("consumer".to_owned(), json!(consumer.consumer));
        }
    }
    json
}

/// Some consumers of a version, by the names that they gave themselves or else by their principals, the latest first. The
/// others are counted.
pub(super) fn consumers(version: &v1::SecretVersion, which: impl Fn(&v1::Consumer) -> bool) -> String {
    const SHOWN: usize = 3;
    let name = |consumer: &v1::Consumer| match consumer.consumer.as_str() {
        "" => consumer.principal.clone(),
        name => name.to_owned(),
    };
    let mut names: Vec<_> = version.consumers.iter().filter(|consumer| which(consumer)).map(name).collect();
    let others = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    if others > 0 {
        names.push(format!("and {others} more"));
    }
    names.join(" ")
}

/// `pending`, `enabled`, `disabled` or `destroyed`.
pub(super) fn state_name(state: v1::VersionState) -> String {
    let name = state.as_str_name();
    name.strip_prefix("VERSION_STATE_").unwrap_or(name).to_ascii_lowercase()
}
