//! The data of documents, inputs and results.

use zeroize::Zeroizing;

/// A document (JSON), a part of one, or the value of an expression. Texts and bytes may be values of secrets, and are wiped
/// from memory when dropped.
///
/// Has no `Debug`, `Clone`, `PartialEq` or serialization on purpose: a value must not be printed or copied by accident.
/// [`Data::copy`] makes a copy where one is needed.
pub enum Data {
    /// Null in JSON, None in Python.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(Zeroizing<String>),
    /// The value of a binary secret. Never part of a document.
    Bytes(Zeroizing<Vec<u8>>),
    /// A list.
    List(Vec<Data>),
    /// A map, in its order, each key once.
    Map(Vec<(String, Data)>),
}

/// 2^53: up to here a double can hold every whole number.
pub(super) const MAX_EXACT: u64 = 1 << 53;

impl Data {
    /// A text value.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }

    /// A number of a JSON document, in which all numbers are doubles: an `Int` where it is whole and within ±2^53, or else a
    /// `Float`.
    pub fn number(number: f64) -> Self {
        let whole = number.fract() == 0.0 && number.abs() <= MAX_EXACT as f64;
        let negative_zero = number == 0.0 && number.is_sign_negative(); // which an `Int` cannot hold
        if whole && !negative_zero { Self::Int(number as i64) } else { Self::Float(number) }
    }

    /// A copy, with all values in it.
    pub fn copy(&self) -> Self {
        match self {
            Self::Null => Self::Null,
            Self::Bool(bool) => Self::Bool(*bool),
            Self::Int(int) => Self::Int(*int),
            Self::Float(float) => Self::Float(*float),
            Self::Text(text) => Self::Text(text.clone()),
            Self::Bytes(bytes) => Self::Bytes(bytes.clone()),
            Self::List(items) => Self::List(items.iter().map(Self::copy).collect()),
            Self::Map(fields) => {
                Self::Map(fields.iter().map(|(key, value)| (key.clone(), value.copy())).collect())
            }
        }
    }

    /// A field of a map; `None` where the map has no such field, or this is not a map.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Self::Map(fields) = self else { return None };
        fields.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// About how much memory the data takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let content = match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => 0,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(items) => items.iter().map(Self::size).sum(),
            Self::Map(fields) => {
                fields.iter().map(|(key, value)| size_of::<String>() + key.len() + value.size()).sum()
            }
        };
        size_of::<Self>() + content
    }

    /// Whether lists and maps are nested at most `depth` levels deep. Anything else has the depth 0.
    pub(super) fn is_within_depth(&self, depth: usize) -> bool {
        match self {
            Self::List(items) => depth > 0 && items.iter().all(|item| item.is_within_depth(depth - 1)),
            Self::Map(fields) => {
                depth > 0 && fields.iter().all(|(_, value)| value.is_within_depth(depth - 1))
            }
            _ => true,
        }
    }

    /// Drops the data without recursion, so that no depth can overflow the stack.
    pub(super) fn drop_without_recursion(self) {
        let mut remaining = vec![self];
        while let Some(data) = remaining.pop() {
            match data {
                Self::List(items) => remaining.extend(items),
                Self::Map(fields) => remaining.extend(fields.into_iter().map(|(_, value)| value)),
                _ => {}
            }
        }
    }
}
