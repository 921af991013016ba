//! The tree of a parsed document: strings with their places, and the lists and maps around them.

use std::ops::Range;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use zeroize::Zeroizing;

/// A part of a document.
pub(super) enum Node {
    /// A number, a time, null and so on. It stays as it is and is not sent.
    Other,
    /// A string, and its place in the text in bytes.
    Text { value: Zeroizing<String>, span: Range<usize> },
    /// A list, in order.
    List(Vec<Node>),
    /// A map, in the document's order. Each name is unique.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Makes a map. A number is added to names that are equal, or differ only in type (YAML's `1` and `"1"`).
    pub(super) fn map(entries: impl Iterator<Item = (String, Node)>) -> Self {
        let mut named: Vec<(String, Node)> = Vec::new();
        let mut taken = std::collections::HashSet::new();
        for (name, node) in entries {
            let mut free = name.clone();
            let mut number = 1;
            while !taken.insert(free.clone()) {
                number += 1;
                free = format!("{name} ({number})");
            }
            named.push((free, node));
        }
        Self::Map(named)
    }

    /// The references in this part and the shape around them; `None` if it has no reference.
    pub(super) fn skeleton(&self) -> Option<Value> {
        let kind = match self {
            Self::Other => return None,
            Self::Text { value, .. } if is_reference(value) => Kind::StringValue(value.to_string()),
            Self::Text { .. } => return None,
            Self::List(items) => {
                let values: Vec<_> = items.iter().map(Self::skeleton).collect();
                if values.iter().all(Option::is_none) {
                    return None;
                }
                // A part that is not sent becomes null, so that the places of the others do not change.
                let null = || Value { kind: Some(Kind::NullValue(0)) };
                Kind::ListValue(ListValue {
                    values: values.into_iter().map(|value| value.unwrap_or_else(null)).collect(),
                })
            }
            Self::Map(entries) => {
                let has = |wanted: &str| entries.iter().any(|(name, _)| name == wanted);
                let names_credential = has("secret_name") && has("tool");
                let fields: std::collections::BTreeMap<_, _> = entries
                    .iter()
                    .filter_map(|(name, node)| {
                        let as_credential = names_credential && (name == "secret_name" || name == "tool");
                        let value = node.skeleton().or_else(|| as_credential.then(|| node.as_it_is()));
                        Some((name.clone(), value?))
                    })
                    .collect();
                if fields.is_empty() {
                    return None;
                }
                Kind::StructValue(Struct { fields })
            }
        };
        Some(Value { kind: Some(kind) })
    }

    fn as_it_is(&self) -> Value {
        let kind = match self {
            Self::Text { value, .. } => Kind::StringValue(value.to_string()),
            Self::Other | Self::List(_) | Self::Map(_) => Kind::NullValue(0),
        };
        Value { kind: Some(kind) }
    }

    /// The place of every reference, with the value at its place in the resolved document.
    pub(super) fn references<'a>(
        &'a self,
        resolved: Option<&'a Value>,
    ) -> Vec<(&'a Range<usize>, Option<&'a Value>)> {
        match self {
            Self::Text { value, span } if is_reference(value) => vec![(span, resolved)],
            Self::Other | Self::Text { .. } => Vec::new(),
            Self::List(items) => {
                let item = |(at, node): (usize, &'a Self)| node.references(item_of(resolved, at));
                items.iter().enumerate().flat_map(item).collect()
            }
            Self::Map(entries) => {
                let entry = |(name, node): &'a (String, Self)| node.references(member_of(resolved, name));
                entries.iter().flat_map(entry).collect()
            }
        }
    }

    /// Whether `other` is this document with its references resolved and nothing else changed.
    pub(super) fn resolves_to(&self, other: &Self, resolved: Option<&Value>) -> bool {
        match (self, other) {
            (Self::Text { value, .. }, other) if is_reference(value) => {
                match (resolved.and_then(|value| value.kind.as_ref()), other) {
                    (Some(Kind::StringValue(value)), Self::Text { value: written, .. }) => {
                        *value == **written
                    }
                    (Some(Kind::ListValue(_)), Self::List(_)) => true,
                    (Some(Kind::StructValue(_)), Self::Map(_)) => true,
                    (Some(Kind::NumberValue(_) | Kind::BoolValue(_) | Kind::NullValue(_)), written) => {
                        // A dotenv file reads them as text.
                        matches!(written, Self::Other | Self::Text { .. })
                    }
                    _ => false,
                }
            }
            (Self::Text { value, .. }, Self::Text { value: written, .. }) => value == written,
            (Self::Other, Self::Other) => true,
            (Self::List(items), Self::List(others)) => {
                let same = |(at, (node, other)): (usize, (&Self, &Self))| {
                    node.resolves_to(other, item_of(resolved, at))
                };
                items.len() == others.len() && items.iter().zip(others).enumerate().all(same)
            }
            (Self::Map(entries), Self::Map(others)) => {
                let same = |((name, node), (other_name, other)): (&(String, Self), &(String, Self))| {
                    name == other_name && node.resolves_to(other, member_of(resolved, name))
                };
                entries.len() == others.len() && entries.iter().zip(others).all(same)
            }
            _ => false,
        }
    }

    /// The first reference that is nested in `depth` or more lists and maps.
    pub(super) fn reference_below(&self, depth: usize) -> Option<&Range<usize>> {
        let Some(depth) = depth.checked_sub(1) else {
            return self.references(None).into_iter().map(|(span, _)| span).next();
        };
        match self {
            Self::Other | Self::Text { .. } => None,
            Self::List(items) => items.iter().find_map(|item| item.reference_below(depth)),
            Self::Map(entries) => entries.iter().find_map(|(_, node)| node.reference_below(depth)),
        }
    }

    /// The part that a JSON Pointer (RFC 6901) names.
    pub(super) fn at(&self, pointer: &str) -> Option<&Self> {
        let mut node = self;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            node = match node {
                Self::Other | Self::Text { .. } => return None,
                Self::List(items) => items.get(step.parse::<usize>().ok()?)?,
                Self::Map(entries) => &entries.iter().find(|(name, _)| *name == step)?.1,
            };
        }
        Some(node)
    }
}

/// Whether a string is a reference.
pub(super) fn is_reference(text: &str) -> bool {
    text.starts_with("$ ")
}

fn item_of(value: Option<&Value>, at: usize) -> Option<&Value> {
    match value?.kind.as_ref()? {
        Kind::ListValue(list) => list.values.get(at),
        _ => None,
    }
}

fn member_of<'a>(value: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    match value?.kind.as_ref()? {
        Kind::StructValue(fields) => fields.fields.get(name),
        _ => None,
    }
}
