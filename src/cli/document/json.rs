//! Finds the references of a JSON document.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::node::Node;
use super::{MAX_DEPTH, Malformed};

/// Parses a JSON document, which may have a byte order mark, comments, and commas before a closing bracket. Numbers stay as they
/// are written.
pub(super) fn parse(text: &str) -> Result<Node, Malformed> {
    // Blanks have the length of what they stand for, so all places stay right.
    let blanked = plain(text);
    let text = blanked.as_deref().map_or(text, |text| text.as_str());
    let root: &RawValue = serde_json::from_str(text).map_err(|error| malformed(text, &error))?;
    node(text, root, MAX_DEPTH)
}

/// The document with blanks in place of what JSON itself does not have; `None` if it has nothing of that.
fn plain(text: &str) -> Option<Zeroizing<String>> {
    let extended =
        text.starts_with('\u{feff}') || text.contains("//") || text.contains("/*") || text.contains(',');
    if !extended {
        return None;
    }
    let mut bytes = Zeroizing::new(text.as_bytes().to_vec());
    let mut comma = None;
    let mut at = if text.starts_with('\u{feff}') { 3 } else { 0 };
    blank(&mut bytes, 0..at);
    while let Some(byte) = bytes.get(at).copied() {
        let rest = bytes.get(at..).unwrap_or_default();
        let end = match byte {
            b'"' => at + length_of_string(rest),
            b'/' if rest.starts_with(b"//") => {
                at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
            }
            b'/' if rest.starts_with(b"/*") => {
                at + rest.windows(2).skip(2).position(|two| two == b"*/").map_or(rest.len(), |ends| ends + 4)
            }
            _ => at + 1,
        };
        match byte {
            b'/' if end > at + 1 => blank(&mut bytes, at..end),
            b',' => comma = Some(at),
            b']' | b'}' => {
                if let Some(comma) = comma.take() {
                    blank(&mut bytes, comma..comma + 1);
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        at = end;
    }
    // Only whole characters were replaced.
    String::from_utf8(std::mem::take(&mut *bytes)).ok().map(Zeroizing::new)
}

/// The length of the string at the beginning of these bytes, with its quotes.
fn length_of_string(bytes: &[u8]) -> usize {
    let mut escaped = false;
    let end = bytes.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(bytes.len(), |end| end + 2)
}

/// Puts blanks in place of these bytes. Line ends stay.
fn blank(bytes: &mut [u8], span: Range<usize>) {
    for byte in bytes.get_mut(span).unwrap_or_default() {
        if !matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
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
