use std::fmt;

/// Why an input is not acceptable, as a sentence that says what to do. Never holds any of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(&'static str);

impl Invalid {
    /// A reason; see the type.
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
    /// What is wrong and what to do.
    pub reason: Invalid,
}

/// All that is wrong with a request, gathered so that the caller sees everything at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Adds a violation, unless the field has one already.
    pub fn add(&mut self, field: &'static str, reason: Invalid) {
        if self.0.iter().all(|there| there.field != field) {
            self.0.push(Violation { field, reason });
        }
    }

    /// Adds a violation unless `ok`.
    pub fn require(&mut self, ok: bool, field: &'static str, reason: &'static str) {
        if !ok {
            self.add(field, Invalid::new(reason));
        }
    }

    /// The parsed value, or its error added.
    pub fn check<T>(&mut self, field: &'static str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|reason| self.add(field, reason)).ok()
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The violations, in the order in which they were found.
    pub fn into_vec(self) -> Vec<Violation> {
        self.0
    }
}
