//! The tree of an expression: everything that the language can say, and nothing else of Python.
//!
//! `parse` makes it, and `evaluate` computes its value. What is not here cannot be evaluated.

use super::Data;
use crate::domain::SecretName;

/// An expression, or a part of one.
pub(super) enum Expr {
    /// A text, a number, True, False or None.
    Constant(Data),
    /// `input` and `_`.
    Input,
    /// `inputs`.
    Inputs,
    /// `secrets.NAME`.
    Secret(SecretName),
    /// `secrets.get("NAME", default)`; the default is None where there is none.
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
    /// `left + right`, and the other arithmetic operators.
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    /// `text % (value, ...)`.
    Percent(Box<Expr>, Vec<Expr>),
    /// `a and b`: the first value that is false, or else the last.
    And(Vec<Expr>),
    /// `a or b`: the first value that is true, or else the last.
    Or(Vec<Expr>),
    /// `a < b <= c`: the first value, and each further value with its comparison.
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// `then if test else other`.
    If {
        /// The condition.
        test: Box<Expr>,
        /// The value where the condition is true.
        then: Box<Expr>,
        /// The value where the condition is false.
        other: Box<Expr>,
    },
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `{key: value}`.
    Map(Vec<(Expr, Expr)>),
    /// An f-string.
    Format(Vec<Piece>),
    /// A function with its arguments. The text of a method is the first argument.
    Call(Function, Vec<Expr>),
}

/// A piece of an f-string.
pub(super) enum Piece {
    /// Literal text.
    Text(Box<str>),
    /// `{value!conversion:spec}`.
    Value { value: Expr, conversion: Option<Conversion>, spec: Vec<Piece> },
}

/// The conversion of a value before it is formatted: `!s`, `!r` or `!a`.
#[derive(Clone, Copy)]
pub(super) enum Conversion {
    Str,
    Repr,
    Ascii,
}

/// An arithmetic operator.
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
    /// `is None`.
    Is,
    /// `is not None`.
    IsNot,
}

/// A function, or a method of texts.
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
    /// The function with this name. Methods can be called as functions too.
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

    /// The method of texts with this name.
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

    /// How many arguments the function takes. The text of a method is one of them.
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
