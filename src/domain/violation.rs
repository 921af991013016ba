//! What is wrong with the fields of a request, gathered so that the caller sees everything at once.

use std::fmt;

/// Why an input is not acceptable: the end of a sentence that begins with the field's name, such as "must be at most 1,024
/// bytes". Never contains any of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(&'static str);

impl Invalid {
    /// A reason, in the form that the type describes.
    pub const fn new(reason: &'static str) -> Self {
        Self(reason)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Invalid {}

/// One field of a request that is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in the request, for example `name`.
    pub field: &'static str,
    /// What is wrong with the field.
    pub reason: Invalid,
}

/// The violations of a request found so far, at most one for each field.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Adds a violation, unless the field already has one.
    pub fn add(&mut self, field: &'static str, reason: Invalid) {
        if self.0.iter().all(|violation| violation.field != field) {
            self.0.push(Violation { field, reason });
        }
    }

    /// Adds a violation where `ok` is false.
    pub fn require(&mut self, ok: bool, field: &'static str, reason: &'static str) {
        if !ok {
            self.add(field, Invalid::new(reason));
        }
    }

    /// The parsed value; or `None`, with its error added as a violation.
    pub fn check<T>(&mut self, field: &'static str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|reason| self.add(field, reason)).ok()
    }

    /// Whether there is no violation so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The violations, in the order in which they were found.
    pub fn into_vec(self) -> Vec<Violation> {
        self.0
    }
}
