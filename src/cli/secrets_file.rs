//! Files of secrets, which `import` reads. A file is checked as a whole before anything of it is sent, and no error shows a
//! value.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use data_encoding::BASE64;
use serde_json::value::RawValue;
use strongroom_client::v1;
use strongroom_client::v1::secret_value::Kind;

use super::document::{self, pairs, position};
use super::dotenv;
use super::failure::Failure;
use super::output::printable;
use crate::domain::{Description, Metadata, SecretName, Value};

/// The format of a file of secrets.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Lines of NAME=VALUE
    Env,
    /// An object of names and values, or a list of secrets as 'export' writes it
    Json,
    /// The output of 'vault kv get -format=json'
    Vault,
}

impl Format {
    /// The format that the file's name means; `None` if it means none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        match document::Format::of(path) {
            document::Format::Json => Some(Self::Json),
            document::Format::Env => Some(Self::Env),
            _ => None,
        }
    }
}

/// A secret to create or update; its fields are allowed.
pub(super) struct NewSecret {
    pub(super) name: String,
    value: v1::SecretValue,
    description: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
}

impl NewSecret {
    /// The request that creates the secret.
    pub(super) fn create(&self) -> v1::CreateSecretRequest {
        v1::CreateSecretRequest {
            name: self.name.clone(),
            value: Some(self.value.clone()),
            description: self.description.clone().unwrap_or_default(),
            metadata: self.metadata.clone().unwrap_or_default(),
            ..v1::CreateSecretRequest::default()
        }
    }

    /// The request that updates the existing secret; fields that the file does not have stay as they are.
    pub(super) fn update(self) -> v1::UpdateSecretRequest {
        // The update mask makes empty metadata clear the present one.
        let paths = self.metadata.iter().map(|_| "metadata".to_owned()).collect();
        v1::UpdateSecretRequest {
            update_mask: Some(prost_types::FieldMask { paths }),
            name: self.name,
            value: Some(self.value),
            description: self.description,
            metadata: self.metadata.unwrap_or_default(),
            ..v1::UpdateSecretRequest::default()
        }
    }
}

/// Reads the secrets of a file. `name` is the file's name in messages. A failure lists everything that is wrong.
pub(super) fn read(text: &str, format: Format, name: &str) -> Result<Vec<NewSecret>, Failure> {
    let drafts = match format {
        Format::Env => from_env(text),
        Format::Json => from_json(text),
        Format::Vault => from_vault(text),
    };
    let drafts = drafts.map_err(|reason| Failure::usage(format!("{name} cannot be read: {reason}")))?;
    let mut names = HashSet::new();
    let mut secrets = Vec::new();
    let mut wrong = Vec::new();
    for (name, draft) in drafts {
        let twice = if names.insert(name.clone()) { None } else { Some("appears twice".to_owned()) };
        let shown: String = printable(&name).chars().take(160).collect();
        match checked(name, draft) {
            Ok(secret) if twice.is_none() => secrets.push(secret),
            Ok(_) => wrong.extend(twice.map(|reason| (shown, reason))),
            Err(reasons) => {
                wrong.extend(reasons.into_iter().chain(twice).map(|reason| (shown.clone(), reason)))
            }
        }
    }
    if wrong.is_empty() {
        return Ok(secrets);
    }
    Err(Failure::usage(format!("{name} has secrets that are not allowed, and nothing was written"))
        .with_all(wrong))
}

/// A secret as the file has it, unchecked.
#[derive(Default)]
struct Draft {
    value: Option<Kind>,
    description: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    /// Everything that is known to be wrong with it.
    wrong: Vec<String>,
}

fn checked(name: String, draft: Draft) -> Result<NewSecret, Vec<String>> {
    let mut wrong = draft.wrong;
    wrong.extend(SecretName::parse(&name).err().map(|invalid| format!("the name {invalid}")));
    let description = draft.description.as_deref().unwrap_or_default();
    wrong.extend(Description::parse(description).err().map(|invalid| format!("the description {invalid}")));
    let metadata = draft.metadata.clone().unwrap_or_default();
    wrong.extend(Metadata::parse(metadata).err().map(|invalid| format!("the metadata {invalid}")));
    let too_large = match &draft.value {
        None if wrong.is_empty() => Some("the value is missing".to_owned()),
        Some(Kind::Text(text)) => {
            Value::text(text.clone()).err().map(|invalid| format!("the value {invalid}"))
        }
        Some(Kind::Binary(bytes)) => {
            Value::binary(bytes.clone()).err().map(|invalid| format!("the value {invalid}"))
        }
        None | Some(Kind::Redacted(_)) => None,
    };
    wrong.extend(too_large);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let value = v1::SecretValue { kind: draft.value };
    Ok(NewSecret { name, value, description: draft.description, metadata: draft.metadata })
}

type Drafts = Result<Vec<(String, Draft)>, String>;

fn from_env(text: &str) -> Drafts {
    let entries = dotenv::parse(text).map_err(|(at, reason)| {
        let (line, column) = position(text, at);
        format!("line {line}, column {column}: {reason}")
    })?;
    let draft = |mut entry: dotenv::Entry| {
        let value = Some(Kind::Text(std::mem::take(&mut *entry.value)));
        (entry.name, Draft { value, ..Draft::default() })
    };
    Ok(entries.into_iter().map(draft).collect())
}

/// Reads an object of names and values, or a list of secrets.
fn from_json(text: &str) -> Drafts {
    if let Some(members) = pairs(text) {
        return Ok(members.into_iter().map(|(name, raw)| (name, with_value(raw))).collect());
    }
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        format!("{place}: an object of names and values, or a list of secrets, is expected")
    })?;
    items.into_iter().enumerate().map(|(at, raw)| listed(at, raw)).collect()
}

/// Reads one secret of a list.
fn listed(at: usize, raw: &RawValue) -> Result<(String, Draft), String> {
    let members = pairs(raw.get()).ok_or_else(|| format!("item {at} is not an object"))?;
    let mut name = None;
    let mut draft = Draft::default();
    for (member, raw) in members {
        match member.as_str() {
            "name" => name = string(raw),
            "value" => {
                let with_value = with_value(raw);
                draft.value = with_value.value;
                draft.wrong.extend(with_value.wrong);
            }
            "description" => match string(raw) {
                Some(text) => draft.description = Some(text),
                None => draft.wrong.push("the description must be a string".to_owned()),
            },
            "metadata" => match serde_json::from_str(raw.get()) {
                Ok(pairs) => draft.metadata = Some(pairs),
                Err(_) => draft.wrong.push("the metadata must be an object of strings".to_owned()),
            },
            other => draft.wrong.push(format!("the member '{}' is unknown", printable(other))),
        }
    }
    Ok((name.ok_or_else(|| format!("item {at} has no name"))?, draft))
}

/// Reads the data of a version (Vault's KV version 2), or of a secret (KV version 1).
fn from_vault(text: &str) -> Drafts {
    let reply = pairs(text).ok_or("the output of 'vault kv get -format=json', a JSON object, is expected")?;
    let data =
        member(&reply, "data").and_then(|raw| pairs(raw.get())).ok_or("the object 'data' is missing")?;
    let inner = member(&data, "data").and_then(|raw| pairs(raw.get()));
    let data = match inner {
        Some(inner) if member(&data, "metadata").is_some() => inner,
        _ => data,
    };
    Ok(data.into_iter().map(|(name, raw)| (name, with_value(raw))).collect())
}

fn member<'a>(members: &[(String, &'a RawValue)], name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(there, _)| there == name).map(|(_, raw)| *raw)
}

/// Reads a value: a string, or an object with the bytes in base64.
fn with_value(raw: &RawValue) -> Draft {
    if let Some(text) = string(raw) {
        return Draft { value: Some(Kind::Text(text)), ..Draft::default() };
    }
    let bytes = match pairs(raw.get()).as_deref() {
        Some([(member, raw)]) if member == "binary" => string(raw),
        _ => None,
    };
    match bytes.map(|text| BASE64.decode(text.as_bytes())) {
        Some(Ok(bytes)) => Draft { value: Some(Kind::Binary(bytes)), ..Draft::default() },
        Some(Err(_)) => wrong("the value's 'binary' must be base64 with padding"),
        None => wrong("the value must be a string (numbers in quotes), or {\"binary\": \"<base64>\"}"),
    }
}

fn wrong(reason: &str) -> Draft {
    Draft { wrong: vec![reason.to_owned()], ..Draft::default() }
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, format: Format) -> Result<Vec<String>, String> {
        let read = read(text, format, "file").map_err(|failure| failure.brief());
        read.map(|secrets| secrets.into_iter().map(|secret| secret.name).collect())
    }

    #[test]
    fn reads_every_format() {
        let vault2 =
            r#"{"request_id": "x", "data": {"data": {"a": "1", "b": "2"}, "metadata": {"version": 1}}}"#;
        for (text, format) in [
            ("a=1\nb=2\n", Format::Env),
            (r#"{"a": "1", "b": {"binary": "AP8="}}"#, Format::Json),
            (
                r#"[{"name": "a", "value": ""}, {"name": "b", "value": "2", "metadata": {"k": "v"}}]"#,
                Format::Json,
            ),
            (vault2, Format::Vault),
            (r#"{"data": {"a": "1", "b": "2"}}"#, Format::Vault),
        ] {
            assert_eq!(names(text, format), Ok(vec!["a".into(), "b".into()]), "{text}");
        }
    }

    #[test]
    fn a_failure_lists_everything_that_is_wrong_and_no_value() {
        let text = r#"{"a-b": "hidden", "1": "hidden", "c": 4711, "d": "hidden", "d": "hidden", "e": {"binary": "hidden!"}}"#;
        let said = names(text, Format::Json).unwrap_err();
        for expected in [
            "a-b: the name must",
            "1: the name must",
            "c: the value must",
            "d: appears twice",
            "e: the value's",
        ] {
            assert!(said.contains(expected), "{said}");
        }
        assert!(!said.contains("hidden") && !said.contains("4711"), "{said}");
    }

    #[test]
    fn a_failure_never_shows_the_text() {
        for text in ["\"hidden\"", "[\"hidden\"]", "[{\"value\": \"hidden\"}]", "{\"a\": \"hidden", "hidden"]
        {
            for format in [Format::Env, Format::Json, Format::Vault] {
                assert!(!names(text, format).unwrap_err().contains("hidden"), "{text}");
            }
        }
        let large = format!("a={}", "x".repeat(65537));
        assert!(names(&large, Format::Env).unwrap_err().contains("65,536"));
    }
}
