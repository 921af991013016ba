//! Finds the references of a JSON document.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::node::Node;
use super::{MAX_DEPTH, Malformed};

/// Parses a JSON document. Numbers stay as they are written.
pub(super) fn parse(text: &str) -> Result<Node, Malformed> {
    let root: &RawValue = serde_json::from_str(text).map_err(|error| malformed(text, &error))?;
    node(text, root, MAX_DEPTH)
}

/// The members of an object in order, as they are written; `None` if the text is not an object.
pub(in crate::cli) fn pairs(text: &str) -> Option<Vec<(String, &RawValue)>> {
    serde_json::from_str::<Members>(text).ok().map(|members| members.0)
}

fn node(text: &str, raw: &RawValue, depth: usize) -> Result<Node, Malformed> {
    let written = raw.get();
    let start = (written.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let too_deep = || Malformed { at: start, reason: format!("nested more than {MAX_DEPTH} deep") };
    let failed = |error| Malformed { at: start, reason: reason(&error) };
    match written.as_bytes().first() {
        // A string with half a surrogate pair cannot be a reference.
        Some(b'"') => Ok(serde_json::from_str(written)
            .map(|value: String| Node::Text { value: value.into(), span: start..start + written.len() })
            .unwrap_or(Node::Other)),
        Some(b'[') => {
            let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
            let items: Vec<&RawValue> = serde_json::from_str(written).map_err(failed)?;
            Ok(Node::List(items.into_iter().map(|item| node(text, item, depth)).collect::<Result<_, _>>()?))
        }
        Some(b'{') => {
            let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
            let Members(members) = serde_json::from_str(written).map_err(failed)?;
            let entries: Vec<_> = members
                .into_iter()
                .map(|(name, raw)| Ok((name, node(text, raw, depth)?)))
                .collect::<Result<_, _>>()?;
            Ok(Node::map(entries.into_iter()))
        }
        _ => Ok(Node::Other),
    }
}

/// The members of an object in order, with repeated names. A map would silently keep only the last of them.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Self::Value, M::Error> {
                let mut all = Vec::new();
                while let Some(member) = members.next_entry()? {
                    all.push(member);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_map(Each).map(Members)
    }
}

fn malformed(text: &str, error: &serde_json::Error) -> Malformed {
    let line_start =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    Malformed { at: line_start + error.column().saturating_sub(1), reason: reason(error) }
}

/// The error's text without its place, which the caller knows better.
fn reason(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.split(" at line ").next().unwrap_or_default().to_owned()
}
