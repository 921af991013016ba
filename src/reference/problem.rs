use std::borrow::Cow;
use std::fmt;

use super::Pointer;
use super::budget::Bound;
use super::pointer::Path;
use crate::domain::SecretName;

/// What is wrong at a place of a document. Says what to do, and never holds a value or text that could be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The place.
    pub place: Pointer,
    /// What is wrong there.
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for Problem {}

/// What can be wrong. As text each is one whole sentence, or a few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    /// Not a Python expression.
    Syntax {
        /// The character at which that shows, counted from 1 in the whole string; `None` where it is unclear.
        at: Option<usize>,
    },
    /// Python, but not part of the language of references.
    NotSupported(Construct),
    /// A name that is none of those that expressions can use.
    UnknownName,
    /// `input` or `_`, where no input was given.
    NoInput,
    /// A secret is named by what can not be a secret's name.
    NotASecretName,
    /// The values do not fit the operation.
    Type(&'static str),
    /// The kinds of the values fit, but not these values.
    Value(&'static str),
    /// A binary secret where text is needed.
    Binary,
    /// There is no such secret.
    MissingSecret(SecretName),
    /// The secret's current version, of that number, is disabled.
    VersionDisabled(SecretName, u32),
    /// The secret's current version, of that number, was destroyed.
    VersionDestroyed(SecretName, u32),
    /// A bound on the cost of a document is exceeded.
    TooCostly(Bound),
}

/// A construct of Python that is refused, and what to write in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Construct {
    /// What it is called, with its article where it has one.
    pub name: Cow<'static, str>,
    /// A sentence that says what to do, or nothing.
    pub remedy: &'static str,
}

impl ProblemKind {
    /// A construct that is refused.
    pub(super) fn refused(name: &'static str, remedy: &'static str) -> Self {
        Self::NotSupported(Construct { name: Cow::Borrowed(name), remedy })
    }

    /// A construct that is refused, named with its identifier: `before`, the identifier in backquotes.
    pub(super) fn refused_identifier(before: &'static str, identifier: &str, remedy: &'static str) -> Self {
        // What is long or foreign is no identifier that anyone would look for.
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
                    Some(at) => write!(f, "look at character {at}. ")?,
                    None => f.write_str("look at its quotes and brackets. ")?,
                }
                f.write_str("Text that is meant as it stands must not begin with a dollar sign and a space.")
            }
            Self::NotSupported(Construct { name, remedy: "" }) => {
                write!(f, "References can not use {name}. docs/references.md lists what they can.")
            }
            Self::NotSupported(Construct { name, remedy }) => {
                write!(f, "References can not use {name}. {remedy}")
            }
            Self::UnknownName => f.write_str(
                "The expression uses a name that there is not: `secrets`, `input`, `_` and `inputs` are the \
                 names, and functions have to be called. Text is written in quotes.",
            ),
            Self::NoInput => f.write_str("There is no input: give it as `input` in `inputs`."),
            Self::NotASecretName => f.write_str(
                "A secret's name must be 1 to 128 characters long, begin with a letter or an underscore, and \
                 hold only letters, digits and underscores (A-Z, a-z, 0-9, _).",
            ),
            Self::Type(sentence) | Self::Value(sentence) => f.write_str(sentence),
            Self::Binary => {
                f.write_str("The secret is binary: use base64(...) to make it text, or len(...) of it.")
            }
            Self::MissingSecret(name) => write!(
                f,
                "There is no secret `{name}`: create it, correct the name, or give a default with \
                 secrets.get(\"{name}\", default)."
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

/// How many problems are told at once.
const MAX_PROBLEMS: usize = 32;

/// The problems found so far.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, path: &Path, kind: ProblemKind) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(Problem { place: path.pointer(), kind });
        }
    }

    /// Whether there is no point in looking further: enough has been found, or all that could be spent is.
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

    pub(super) fn none(&mut self) -> Result<(), Vec<Problem>> {
        if self.0.is_empty() { Ok(()) } else { Err(std::mem::take(&mut self.0)) }
    }
}
