use super::Data;
use crate::domain::SecretName;

/// An expression of the language of references: all that it can say, and nothing else of Python.
pub(super) enum Expr {
    /// A text, a number, True, False or None.
    Constant(Data),
    /// `input` and `_`.
    Input,
    /// `inputs`.
    Inputs,
    /// `secrets.NAME`.
    Secret(SecretName),
    /// `secrets.get("NAME", default)`; without a default it is None.
    SecretOr(SecretName, Box<Expr>),
    /// `value.name`, which looks up the field of a map.
    Field(Box<Expr>, Box<str>),
    /// `value[index]`.
    Item(Box<Expr>, Box<Expr>),
    /// `value[start:stop:step]`.
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    /// `not value`.
    Not(Box<Expr>),
    /// `-value`.
    Minus(Box<Expr>),
    /// `+value`.
    Plus(Box<Expr>),
    /// `left + right` and its kin.
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    /// `text % (value, ...)`.
    Percent(Box<Expr>, Vec<Expr>),
    /// `a and b`: the first that is false, or the last.
    And(Vec<Expr>),
    /// `a or b`: the first that is true, or the last.
    Or(Vec<Expr>),
    /// `a < b <= c`: the first, and each further one with its comparison.
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// `then if test else other`.
    If {
        /// What decides.
        test: Box<Expr>,
        /// The value where it is true.
        then: Box<Expr>,
        /// The value where it is false.
        other: Box<Expr>,
    },
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `{key: value}`.
    Map(Vec<(Expr, Expr)>),
    /// An f-string.
    Format(Vec<Piece>),
    /// A function with its arguments; a method has its text as the first.
    Call(Function, Vec<Expr>),
}

/// A piece of an f-string.
pub(super) enum Piece {
    /// Text as it stands.
    Text(Box<str>),
    /// `{value!conversion:spec}`.
    Value { value: Expr, conversion: Option<Conversion>, spec: Vec<Piece> },
}

/// What `!s`, `!r` and `!a` do to a value before it is formatted.
#[derive(Clone, Copy)]
pub(super) enum Conversion {
    Str,
    Repr,
    Ascii,
}

/// An operator between two values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
}

/// A comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
    /// `is`, which only None can follow.
    Is,
    /// `is not`, which only None can follow.
    IsNot,
}

/// A function. `str`'s methods are functions whose first argument is the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Str,
    Len,
    Upper,
    Lower,
    Strip,
    Replace,
    Join,
    Split,
    Base64,
    UrlEncode,
    Json,
}

impl Function {
    /// The function that is called so.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "str" => Self::Str,
            "len" => Self::Len,
            "base64" => Self::Base64,
            "urlencode" => Self::UrlEncode,
            "json" => Self::Json,
            _ => return Self::method(name),
        })
    }

    /// The method of texts that is called so.
    pub(super) fn method(name: &str) -> Option<Self> {
        Some(match name {
            "upper" => Self::Upper,
            "lower" => Self::Lower,
            "strip" => Self::Strip,
            "replace" => Self::Replace,
            "join" => Self::Join,
            "split" => Self::Split,
            _ => return None,
        })
    }

    /// How many arguments it takes, the text of a method included.
    pub(super) fn arity(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Str | Self::Len | Self::Upper | Self::Lower => 1..=1,
            Self::Base64 | Self::UrlEncode | Self::Json => 1..=1,
            Self::Strip => 1..=2,
            Self::Replace => 3..=4,
            Self::Join => 2..=2,
            Self::Split => 1..=3,
        }
    }
}
