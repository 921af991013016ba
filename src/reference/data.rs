use zeroize::Zeroizing;

/// A document as the wire has it (JSON), and what expressions evaluate to. Texts may hold secret values.
///
/// Deliberately without `Debug`, `Clone`, `PartialEq` and serialization; where a copy is needed, [`Data::copy`] says so.
pub enum Data {
    /// JSON's null, Python's None.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(Zeroizing<String>),
    /// The value of a binary secret; it never stands in a document.
    Bytes(Zeroizing<Vec<u8>>),
    /// A list.
    List(Vec<Data>),
    /// A map, in its order; each key once.
    Map(Vec<(String, Data)>),
}

/// The greatest whole number up to which a double has all of them: 2^53.
pub(super) const MAX_EXACT: u64 = 1 << 53;

impl Data {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }

    /// A number of the wire, where all are doubles: a whole one within ±2^53 is an `Int`, any other a `Float`.
    pub fn number(number: f64) -> Self {
        let whole = number.fract() == 0.0 && number.abs() <= MAX_EXACT as f64;
        let negative_zero = number == 0.0 && number.is_sign_negative(); // which an `Int` can not hold
        if whole && !negative_zero { Self::Int(number as i64) } else { Self::Float(number) }
    }

    /// A copy, values and all.
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

    /// The field of a map; `None` where there is none, and for all that is no map.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Self::Map(fields) = self else { return None };
        fields.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let within = match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => 0,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(items) => items.iter().map(Self::size).sum(),
            Self::Map(fields) => {
                fields.iter().map(|(key, value)| size_of::<String>() + key.len() + value.size()).sum()
            }
        };
        size_of::<Self>() + within
    }

    /// Whether lists and maps in it are nested at most so deep; texts and numbers have the depth 0.
    pub(super) fn within(&self, depth: usize) -> bool {
        match self {
            Self::List(items) => depth > 0 && items.iter().all(|item| item.within(depth - 1)),
            Self::Map(fields) => depth > 0 && fields.iter().all(|(_, value)| value.within(depth - 1)),
            _ => true,
        }
    }

    /// Frees it without recursion, so that no depth can overflow the stack.
    pub(super) fn dismantle(self) {
        let mut left = vec![self];
        while let Some(data) = left.pop() {
            match data {
                Self::List(items) => left.extend(items),
                Self::Map(fields) => left.extend(fields.into_iter().map(|(_, value)| value)),
                _ => {}
            }
        }
    }
}
