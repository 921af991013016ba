use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::node::Node;
use super::{MAX_DEPTH, Malformed};

/// A JSON document. Each part is looked at as it is written, so numbers are never read.
pub(super) fn parse(text: &str) -> Result<Node, Malformed> {
    let root: &RawValue = serde_json::from_str(text).map_err(|error| malformed(text, &error))?;
    node(text, root, MAX_DEPTH)
}

/// An object's members, in order, each as it is written; `None` where the text is no object.
pub(in crate::cli) fn pairs(text: &str) -> Option<Vec<(String, &RawValue)>> {
    serde_json::from_str::<Members>(text).ok().map(|members| members.0)
}

fn node(text: &str, raw: &RawValue, depth: usize) -> Result<Node, Malformed> {
    let written = raw.get();
    let start = (written.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let too_deep = || Malformed { at: start, reason: format!("nested more than {MAX_DEPTH} deep") };
    let failed = |error| Malformed { at: start, reason: reason(&error) };
    match written.as_bytes().first() {
        // Text with half a surrogate pair is no reference, and stays as it is written.
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

/// An object's members, in order. A map would drop all but the last of one name without a word.
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

/// What is wrong, without the place, which is known better here.
fn reason(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.split(" at line ").next().unwrap_or_default().to_owned()
}
