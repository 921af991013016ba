use std::fmt;

use zeroize::Zeroizing;

use super::ProblemKind;

/// A bound on what a document may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The bytes of one expression.
    ExpressionLength,
    /// How deep an expression is nested, each operator in a chain counted as a level.
    ExpressionNesting,
    /// The expressions and credentials of a document.
    Expressions,
    /// The parts of all expressions of a document.
    Parts,
    /// The bytes of a JSON Pointer to an expression.
    Pointer,
    /// How deep the document, the inputs or the resolved document are nested.
    Depth,
    /// The secrets that a document names.
    Secrets,
    /// The bytes of the names of these secrets, and of the places that name them.
    Places,
    /// The work of evaluating.
    Steps,
    /// The memory of what is built while evaluating.
    Built,
    /// The memory of the results.
    Output,
}

impl Bound {
    /// How much of it there may be.
    pub const fn limit(self) -> usize {
        match self {
            Self::ExpressionLength => 16 * 1024,
            Self::ExpressionNesting => 200,
            Self::Expressions => 10_000,
            Self::Parts => 100_000,
            Self::Pointer => super::pointer::Path::MAX,
            // A third of the messages that protobuf libraries decode within each other: a map takes three.
            Self::Depth => 32,
            Self::Secrets => 1_000,
            Self::Places => 512 * 1024,
            Self::Steps => 100_000,
            Self::Built => 4 << 20,
            Self::Output => 1 << 20,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit();
        match self {
            Self::ExpressionLength => {
                write!(
                    f,
                    "The expression is too long: at most {limit} bytes. Split it, or pass the text in `inputs`."
                )
            }
            Self::ExpressionNesting => write!(
                f,
                "The expression is nested too deeply: at most {limit} levels, each operator in a chain counted. \
                 Use an f-string or join."
            ),
            Self::Expressions => {
                write!(f, "The document has too many expressions: at most {limit}. Split the document.")
            }
            Self::Parts => {
                write!(
                    f,
                    "The document's expressions have too many parts: at most {limit}. Split the document."
                )
            }
            Self::Pointer => write!(
                f,
                "There is an expression below this place whose JSON Pointer is longer than {limit} bytes. Use \
                 shorter keys."
            ),
            Self::Depth => write!(f, "Lists and maps are nested too deeply: at most {limit} levels."),
            Self::Secrets => {
                write!(f, "The document names too many secrets: at most {limit}. Split the document.")
            }
            Self::Places => write!(
                f,
                "The document names secrets in too many places: their names and JSON Pointers have at most {limit} \
                 bytes. Split the document, or use shorter keys."
            ),
            Self::Steps => write!(
                f,
                "Resolving the document takes too long: at most {limit} steps. Split the document, or use less \
                 input."
            ),
            Self::Built => write!(
                f,
                "The expressions build too much: at most {limit} bytes, what is not returned included. Split the \
                 document, or use smaller widths and texts."
            ),
            Self::Output => {
                write!(f, "The results are too large: at most {limit} bytes in all. Split the document.")
            }
        }
    }
}

/// What the evaluation of a document may still cost. Everything is charged before it is done.
pub(super) struct Budget {
    steps: usize,
    built: usize,
    output: usize,
}

/// How many bytes are read or built in one step.
const BYTES_A_STEP: usize = 256;

impl Budget {
    pub(super) fn new() -> Self {
        Self { steps: Bound::Steps.limit(), built: Bound::Built.limit(), output: Bound::Output.limit() }
    }

    /// Charges one step, and the reading of so many bytes.
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), ProblemKind> {
        spend(&mut self.steps, 1 + bytes / BYTES_A_STEP, Bound::Steps)
    }

    /// Charges the looking through so many items.
    pub(super) fn scan(&mut self, items: usize) -> Result<(), ProblemKind> {
        self.read(items.saturating_mul(16))
    }

    /// Charges so many bytes that are about to be built.
    pub(super) fn build(&mut self, bytes: usize) -> Result<(), ProblemKind> {
        spend(&mut self.built, bytes, Bound::Built)?;
        spend(&mut self.steps, bytes / BYTES_A_STEP, Bound::Steps)
    }

    /// Charges so many bytes of result.
    pub(super) fn output(&mut self, bytes: usize) -> Result<(), ProblemKind> {
        spend(&mut self.output, bytes, Bound::Output)
    }
}

fn spend(left: &mut usize, cost: usize, bound: Bound) -> Result<(), ProblemKind> {
    match left.checked_sub(cost) {
        Some(rest) => {
            *left = rest;
            Ok(())
        }
        None => {
            *left = 0; // What comes after must not begin to fit again.
            Err(ProblemKind::TooCostly(bound))
        }
    }
}

/// Builds a text piece by piece, within the budget, and wipes what it outgrows.
#[derive(Default)]
pub(super) struct Writer(Zeroizing<String>);

impl Writer {
    /// Adds text.
    pub(super) fn push(&mut self, text: &str, budget: &mut Budget) -> Result<(), ProblemKind> {
        self.reserve(text.len(), budget)?;
        self.0.push_str(text);
        Ok(())
    }

    /// Adds a character so many times.
    pub(super) fn fill(&mut self, fill: char, times: usize, budget: &mut Budget) -> Result<(), ProblemKind> {
        self.reserve(times.saturating_mul(fill.len_utf8()), budget)?;
        self.0.extend(std::iter::repeat_n(fill, times));
        Ok(())
    }

    /// Charges and makes room for so many bytes. `String` would leave a copy behind where it grew.
    fn reserve(&mut self, bytes: usize, budget: &mut Budget) -> Result<(), ProblemKind> {
        budget.build(bytes)?;
        let needed = self.0.len() + bytes;
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(String::with_capacity(needed.max(2 * self.0.capacity())));
            larger.push_str(&self.0);
            self.0 = larger;
        }
        Ok(())
    }

    /// What has been built.
    pub(super) fn finish(self) -> Zeroizing<String> {
        self.0
    }
}
