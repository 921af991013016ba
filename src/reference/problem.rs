//! Problems with a document, and the sentences that tell users about them.
//!
//! A sentence says what is wrong and what to do. It never contains a value, nor text of the document except for names of
//! secrets, functions, methods and fields. The api puts the place before it.

use std::borrow::Cow;
use std::fmt;

use super::Pointer;
use super::budget::Bound;
use super::pointer::Path;
use crate::domain::SecretName;

/// A problem at a place of a document. As text it does not name the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The string that has the problem, or the nearest place above it whose pointer is not too long.
    pub place: Pointer,
    /// What is wrong.
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for Problem {}

/// What is wrong with an expression, a credential or a document. As text: one or more whole sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    /// The text is not a Python expression.
    Syntax {
        /// The character where the parser stopped, counted from 1 in the whole string; `None` where there is no such place.
        at: Option<usize>,
    },
    /// The expression uses a construct of Python that the language lacks.
    NotSupported(Construct),
    /// The expression uses a name that is not defined.
    UnknownName,
    /// The expression uses `input` or `_`, and the request has no input.
    NoInput,
    /// A text or value that cannot be the name of a secret is used as one.
    NotASecretName,
    /// An operation does not take values of these types. The sentence for the user.
    Type(&'static str),
    /// An operation takes values of these types, but not these values. The sentence for the user.
    Value(&'static str),
    /// A binary secret is used where a text is needed.
    Binary,
    /// There is no such secret.
    MissingSecret(SecretName),
    /// The secret has expired.
    SecretExpired(SecretName),
    /// The current version of the secret, with this number, is disabled.
    VersionDisabled(SecretName, u32),
    /// The current version of the secret, with this number, was destroyed.
    VersionDestroyed(SecretName, u32),
    /// The document exceeds a bound on its cost.
    TooCostly(Bound),
}

/// A construct of Python that the language lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Construct {
    /// Its name, with an article where it has one, such as "a lambda".
    pub name: Cow<'static, str>,
    /// A sentence that says what to write in its place; empty where there is nothing.
    pub remedy: &'static str,
}

impl ProblemKind {
    /// The problem of a construct that the language lacks.
    pub(super) fn unsupported(name: &'static str, remedy: &'static str) -> Self {
        Self::NotSupported(Construct { name: Cow::Borrowed(name), remedy })
    }

    /// The same, for a construct whose name ends with an identifier: `before`, then the identifier in backquotes.
    pub(super) fn unsupported_named(before: &'static str, identifier: &str, remedy: &'static str) -> Self {
        // A long or unusual identifier is left out: it could be a value in the wrong place.
        let plain =
            identifier.len() <= 40 && identifier.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let name = if plain { Cow::Owned(format!("{before} `{identifier}`")) } else { Cow::Borrowed(before) };
        Self::NotSupported(Construct { name, remedy })
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { at } => {
                f.write_str("This is not a Python expression: ")?;
                match at {
                    Some(at) => write!(f, "check it near character {at}. ")?,
                    None => f.write_str("check its quotes and brackets. ")?,
                }
                f.write_str("If it is plain text, it must not begin with a dollar sign and a space.")
            }
            Self::NotSupported(Construct { name, remedy: "" }) => {
                write!(f, "Expressions cannot use {name}. See docs/references.md for the constructs that they can use.")
            }
            Self::NotSupported(Construct { name, remedy }) => {
                write!(f, "Expressions cannot use {name}. {remedy}")
            }
            Self::UnknownName => f.write_str(
                "The expression uses an unknown name: the names are `secrets`, `input`, `_` and `inputs`. Call a \
                 function with parentheses, and write text in quotes.",
            ),
            Self::NoInput => f.write_str(
                "The expression uses the input, and there is none: pass it as `input` in the `inputs` of the request.",
            ),
            Self::NotASecretName => f.write_str(
                "A secret's name must be 1 to 128 characters long, begin with a letter or an underscore, and \
                 hold only letters, digits and underscores (A-Z, a-z, 0-9, _).",
            ),
            Self::Type(sentence) | Self::Value(sentence) => f.write_str(sentence),
            Self::Binary => {
                f.write_str("The secret is binary: convert it to text with base64(...), or use its length with len(...).")
            }
            Self::MissingSecret(name) => write!(
                f,
                "There is no secret `{name}`: create it, correct the name, or give a default with \
                 secrets.get(\"{name}\", default)."
            ),
            Self::SecretExpired(name) => write!(
                f,
                "The secret `{name}` has expired: give it a later time of expiry, or use another secret."
            ),
            Self::VersionDisabled(name, version) => write!(
                f,
                "The current version {version} of the secret `{name}` is disabled: enable it, or rotate the secret."
            ),
            Self::VersionDestroyed(name, version) => write!(
                f,
                "The current version {version} of the secret `{name}` was destroyed: rotate the secret."
            ),
            Self::TooCostly(bound) => bound.fmt(f),
        }
    }
}

/// How many problems of a document are reported at most.
const MAX_PROBLEMS: usize = 32;

/// The problems of a document found so far.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Adds a problem at the current place of a walk.
    pub(super) fn add(&mut self, path: &Path, kind: ProblemKind) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(Problem { place: path.pointer(), kind });
        }
    }

    /// Whether to stop looking for problems: there are enough, or the budget of the whole document is spent.
    pub(super) fn are_enough(&self) -> bool {
        let spent = |problem: &Problem| {
            matches!(
                problem.kind,
                ProblemKind::TooCostly(
                    Bound::Expressions | Bound::Parts | Bound::Steps | Bound::Built | Bound::Output
                )
            )
        };
        self.0.len() >= MAX_PROBLEMS || self.0.last().is_some_and(spent)
    }

    /// An error with all problems where there are any.
    pub(super) fn into_result(self) -> Result<(), Vec<Problem>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
