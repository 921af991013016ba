//! Files of secrets, which `import` reads. A file is checked as a whole before anything of it is sent, and no error shows a
//! value.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use data_encoding::BASE64;
use serde_json::value::RawValue;
use strongroom_client::v1;
use strongroom_client::v1::secret_value::Kind;
use zeroize::Zeroizing;

use super::document::{self, pairs, position};
use super::dotenv;
use super::failure::Failure;
use super::output::printable;
use super::renaming::Renaming;
use super::strict_json;
use crate::domain::{Description, Metadata, SecretName, Value};

/// The format of a file of secrets.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Lines of NAME=VALUE
    Env,
    /// An object of names and values, a secret or a list of secrets as 'export' writes them, or the output of Vault
    Json,
    /// The output of 'vault kv get -format=json', or a tree of such outputs or of names and values
    Vault,
}

impl Format {
    /// The format that the file's name means, or else the beginning of the text; `None` if both mean none.
    pub(super) fn of(path: &Path, text: &str) -> Option<Self> {
        match document::Format::named(path) {
            Some(document::Format::Json) => Some(Self::Json),
            Some(document::Format::Env) => Some(Self::Env),
            _ => strict_json::without_mark(text).trim_start().starts_with(['{', '[']).then_some(Self::Json),
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

    /// The request that updates the existing secret; fields that the file does not have stay as they are. `None`: nothing would
    /// change. An equal value is not sent, because it would be a new version.
    pub(super) fn update(self, present: Option<&v1::Secret>) -> Option<v1::UpdateSecretRequest> {
        let same_value = present.and_then(|secret| secret.value.as_ref()) == Some(&self.value);
        let description =
            self.description.filter(|new| present.is_none_or(|there| there.description != *new));
        let metadata = self.metadata.filter(|new| present.is_none_or(|there| there.metadata != *new));
        if same_value && description.is_none() && metadata.is_none() {
            return None;
        }
        // The update mask makes empty metadata clear the present one.
        let paths = metadata.iter().map(|_| "metadata".to_owned()).collect();
        Some(v1::UpdateSecretRequest {
            update_mask: Some(prost_types::FieldMask { paths }),
            name: self.name,
            value: (!same_value).then_some(self.value),
            description,
            metadata: metadata.unwrap_or_default(),
            ..v1::UpdateSecretRequest::default()
        })
    }
}

/// A file with its format, and its name in messages.
pub(super) struct File {
    pub(super) text: Zeroizing<String>,
    pub(super) format: Format,
    pub(super) name: String,
}

/// Reads the secrets of files. A failure lists everything that is wrong. No two secrets have one name.
pub(super) fn read(files: &[File], renaming: &Renaming) -> Result<Vec<NewSecret>, Failure> {
    let mut sources: HashMap<String, String> = HashMap::new();
    let (mut secrets, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        let drafts = match file.format {
            Format::Env => from_env(&file.text),
            Format::Json => from_json(&file.text),
            Format::Vault => from_vault(&file.text),
        };
        let unreadable = |reason| Failure::usage(format!("{} cannot be read: {reason}", file.name));
        for (source, draft) in drafts.map_err(unreadable)? {
            let shown: String = printable(&source).chars().take(160).collect();
            let name = renaming.name_of(&source);
            let twice = sources.insert(name.clone(), source.clone()).map(|other| {
                if other == source {
                    "appears twice".to_owned()
                } else {
                    format!("has the name {name} of '{}' too", printable(&other))
                }
            });
            match (checked(name, draft), twice) {
                (Ok(secret), None) => secrets.push(secret),
                (Ok(_), Some(reason)) => wrong.push((shown, reason)),
                (Err(reasons), twice) => {
                    wrong.extend(reasons.into_iter().chain(twice).map(|reason| (shown.clone(), reason)));
                }
            }
        }
    }
    if wrong.is_empty() {
        return Ok(secrets);
    }
    let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    let names = names.join(", ");
    let has = if files.len() == 1 { "has" } else { "have" };
    let hint = if wrong.iter().any(|(name, reason)| renaming.would_help(name, reason)) {
        ". --rename replaces '-', '.' and '/' in names by '_'"
    } else {
        ""
    };
    Err(Failure::usage(format!(
        "{names} {has} secrets whose names or values are not allowed, and nothing was written{hint}"
    ))
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

/// Reads an object of names and values, one secret, a list of secrets, or the output of Vault.
fn from_json(text: &str) -> Drafts {
    const EXPECTED: &str = "an object of names and values, or a list of secrets, is expected";
    let raw = strict_json::raw(text).map_err(|refused| format!("{refused}: {EXPECTED}"))?;
    if let Some(members) = pairs(raw.get()) {
        if is_of_vault(&members) {
            return from_vault(text);
        }
        // As `export` writes each of its secrets.
        if is_secret(&members) {
            return Ok(vec![listed(0, raw)?]);
        }
        return Ok(members.into_iter().map(|(name, raw)| (name, with_value(raw))).collect());
    }
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| EXPECTED.to_owned())?;
    items.into_iter().enumerate().map(|(at, raw)| listed(at, raw)).collect()
}

/// Whether the object is one secret: a name and a value, and what a secret has besides.
fn is_secret(members: &[(String, &RawValue)]) -> bool {
    let known = |name: &str| matches!(name, "name" | "value" | "description" | "metadata");
    member(members, "name").is_some_and(|raw| string(raw).is_some())
        && member(members, "value").is_some()
        && members.iter().all(|(name, _)| known(name))
}

/// Reads one secret of a list.
fn listed(at: usize, raw: &RawValue) -> Result<(String, Draft), String> {
    let members = pairs(raw.get()).ok_or_else(|| format!("item {at} is not an object"))?;
    let mut name = None;
    let mut draft = Draft::default();
    let mut seen = HashSet::new();
    for (member, raw) in members {
        if !seen.insert(member.clone()) {
            draft.wrong.push(format!("the member '{}' is given twice", printable(&member)));
            continue;
        }
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
            "metadata" => match metadata(raw) {
                Ok(pairs) => draft.metadata = Some(pairs),
                Err(reason) => draft.wrong.push(reason),
            },
            other => draft.wrong.push(format!("the member '{}' is unknown", printable(other))),
        }
    }
    Ok((name.ok_or_else(|| format!("item {at} has no name"))?, draft))
}

fn metadata(raw: &RawValue) -> Result<BTreeMap<String, String>, String> {
    const EXPECTED: &str = "the metadata must be an object of strings";
    let mut metadata = BTreeMap::new();
    for (key, raw) in pairs(raw.get()).ok_or(EXPECTED)? {
        if metadata.contains_key(&key) {
            return Err(format!("the metadata '{}' is given twice", printable(&key)));
        }
        metadata.insert(key, scalar(raw).ok_or(EXPECTED)?);
    }
    Ok(metadata)
}

/// Whether the object is an answer of Vault.
fn is_of_vault(members: &[(String, &RawValue)]) -> bool {
    member(members, "data").is_some_and(|raw| pairs(raw.get()).is_some())
        && (member(members, "request_id").is_some() || member(members, "lease_id").is_some())
}

/// Reads an answer of Vault, or a tree of answers or of names and values. A name in a tree has the path before it.
fn from_vault(text: &str) -> Drafts {
    const EXPECTED: &str = "the output of 'vault kv get -format=json', a JSON object, is expected";
    let raw = strict_json::raw(text).map_err(|refused| format!("{refused}: {EXPECTED}"))?;
    let members = pairs(raw.get()).ok_or(EXPECTED)?;
    let mut drafts = Vec::new();
    tree(members, "", MAX_TREE, &mut drafts)?;
    Ok(drafts)
}

/// The deepest tree that is read.
const MAX_TREE: usize = 32;

fn tree(
    members: Vec<(String, &RawValue)>,
    path: &str,
    depth: usize,
    drafts: &mut Vec<(String, Draft)>,
) -> Result<(), String> {
    let depth = depth.checked_sub(1).ok_or_else(|| format!("the tree is more than {MAX_TREE} deep"))?;
    for (name, raw) in data_of(members, path.is_empty()) {
        let place = if path.is_empty() { name } else { format!("{}/{name}", path.trim_end_matches('/')) };
        match pairs(raw.get()) {
            Some(inner) if !is_binary(&inner) => tree(inner, &place, depth, drafts)?,
            _ => drafts.push((place, with_value(raw))),
        }
    }
    Ok(())
}

/// The data of an answer: of a version (KV version 2), or of a secret (KV version 1). Other members stay as they are.
fn data_of(members: Vec<(String, &RawValue)>, top: bool) -> Vec<(String, &RawValue)> {
    let is_version = |members: &[(String, &RawValue)]| {
        member(members, "metadata")
            .is_some_and(|raw| pairs(raw.get()).is_some_and(|of| member(&of, "version").is_some()))
    };
    let answer = is_of_vault(&members) || is_version(&members) || (top && members.len() == 1);
    match member(&members, "data").and_then(|raw| pairs(raw.get())) {
        Some(data) if answer => match member(&data, "data").and_then(|raw| pairs(raw.get())) {
            Some(inner) if member(&data, "metadata").is_some() => inner,
            _ => data,
        },
        _ => members,
    }
}

fn member<'a>(members: &[(String, &'a RawValue)], name: &str) -> Option<&'a RawValue> {
    members.iter().find(|(there, _)| there == name).map(|(_, raw)| *raw)
}

fn is_binary(members: &[(String, &RawValue)]) -> bool {
    matches!(members, [(member, _)] if member == "binary")
}

/// Reads a value: a string, a number, true or false, or an object with the bytes in base64.
fn with_value(raw: &RawValue) -> Draft {
    if let Some(text) = scalar(raw) {
        return Draft { value: Some(Kind::Text(text)), ..Draft::default() };
    }
    let bytes = match pairs(raw.get()).as_deref() {
        Some([(member, raw)]) if member == "binary" => string(raw),
        _ => None,
    };
    match bytes.map(|text| BASE64.decode(text.as_bytes())) {
        Some(Ok(bytes)) => Draft { value: Some(Kind::Binary(bytes)), ..Draft::default() },
        Some(Err(_)) => wrong("the value's 'binary' must be base64 with padding"),
        None => wrong(
            "the value must be a string, a number, true, false, or {\"binary\": \"<base64>\"}; --format vault reads a tree",
        ),
    }
}

fn wrong(reason: &str) -> Draft {
    Draft { wrong: vec![reason.to_owned()], ..Draft::default() }
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// A string, or the text of a number, of true or of false, as it stands.
fn scalar(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first()? {
        b'"' => string(raw),
        b't' | b'f' | b'-' | b'0'..=b'9' => Some(raw.get().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::renaming::Rule;

    fn names(text: &str, format: Format) -> Result<Vec<String>, String> {
        renamed(text, format, Vec::new())
    }

    fn renamed(text: &str, format: Format, rules: Vec<Rule>) -> Result<Vec<String>, String> {
        let file = File { text: text.to_owned().into(), format, name: "file".into() };
        let read = read(&[file], &Renaming::new(rules)).map_err(|failure| failure.brief());
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
            (vault2, Format::Json),
            (r#"{"data": {"a": "1", "b": "2"}}"#, Format::Vault),
            (r#"{"lease_id": "", "data": {"a": "1", "b": "2"}}"#, Format::Json),
            ("\u{feff}{\"a\": 1, \"b\": false}", Format::Json),
            ("\u{feff}a=1\rb=2", Format::Env),
        ] {
            assert_eq!(names(text, format), Ok(vec!["a".into(), "b".into()]), "{text}");
        }
    }

    #[test]
    fn a_failure_lists_everything_that_is_wrong_and_no_value() {
        let text = r#"{"a-b": "hidden", "1": "hidden", "c": [4711], "d": "hidden", "d": "hidden", "e": {"binary": "hidden!"}}"#;
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
    fn one_secret_is_recognised_and_numbers_become_text() {
        let read = |text: &str| {
            let file = File { text: text.to_owned().into(), format: Format::Json, name: "file".into() };
            let read = read(&[file], &Renaming::new(Vec::new())).map_err(|failure| failure.brief()).unwrap();
            let value = |mut secret: NewSecret| match secret.value.kind.take() {
                Some(Kind::Text(text)) => format!("{}={text}", secret.name),
                _ => secret.name,
            };
            read.into_iter().map(value).collect::<Vec<_>>()
        };
        assert_eq!(read(r#"{"name": "A", "value": "1"}"#), ["A=1"]);
        assert_eq!(read(r#"{"name": "A", "value": "1", "host": "h"}"#), ["name=A", "value=1", "host=h"]);
        assert_eq!(
            read(r#"{"a": 5432, "b": 1.50, "c": true, "d": 12345678901234567890123}"#),
            ["a=5432", "b=1.50", "c=true", "d=12345678901234567890123"]
        );
        for (twice, told) in [
            (
                r#"[{"name": "a", "value": "hidden", "value": "hidden"}]"#,
                "a: the member 'value' is given twice",
            ),
            (
                r#"[{"name": "a", "value": "", "metadata": {"k": "1", "k": "2"}}]"#,
                "a: the metadata 'k' is given twice",
            ),
        ] {
            assert_eq!(names(twice, Format::Json), Err(told.to_owned()));
        }
        let cut = names(r#"{"a": "hidden"#, Format::Json).unwrap_err();
        assert!(cut.contains("line 1, column 13: EOF while parsing a string"), "{cut}");
    }

    #[test]
    fn a_tree_becomes_names_with_paths_that_can_be_renamed() {
        let text = r#"{"app/db": {"request_id": "x", "data": {"data": {"pass-word": "1"}, "metadata": {"version": 1}}},
            "web": {"key": {"binary": "AP8="}, "deep": {"x": 1}}}"#;
        let rules = vec![Rule::Characters];
        let named = ["app_db_pass_word", "web_key", "web_deep_x"].map(str::to_owned).to_vec();
        assert_eq!(renamed(text, Format::Vault, rules.clone()), Ok(named));
        let clash = renamed(r#"{"a-b": "1", "a.b": "2"}"#, Format::Json, rules).unwrap_err();
        assert_eq!(clash, "a.b: has the name a_b of 'a-b' too");
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
