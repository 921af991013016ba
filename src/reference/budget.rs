//! Bounds on what a document may cost, so that no document can keep the service busy or fill its memory.
//!
//! The bounds on the document itself are checked while it is parsed. The [`Budget`] is spent while it is evaluated, and every
//! cost is charged before it arises. docs/references.md lists the bounds for users.

use std::fmt;

use zeroize::Zeroizing;

use super::ProblemKind;

/// A bound on what a document may cost. As text: a sentence for the user, with the limit and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The length of one expression, in bytes.
    ExpressionLength,
    /// The nesting of one expression, in levels. Each operator in a chain is a level.
    ExpressionNesting,
    /// The number of expressions and credentials in a document.
    Expressions,
    /// The number of parts (operands, operators, calls) of all expressions in a document.
    Parts,
    /// The length of the JSON Pointer to an expression, in bytes.
    Pointer,
    /// The nesting of lists and maps in the document, in the inputs and in the resolved document, in levels.
    Depth,
    /// The number of different secrets that a document names.
    Secrets,
    /// The size of the names of these secrets and of the JSON Pointers that name them, in bytes.
    Places,
    /// The work of the evaluation, in steps.
    Steps,
    /// The memory of everything that the evaluation builds, in bytes.
    Built,
    /// The memory of the results and credentials, in bytes.
    Output,
}

impl Bound {
    /// The greatest amount that is allowed, in the unit that the variant names.
    pub const fn limit(self) -> usize {
        match self {
            Self::ExpressionLength => 16 * 1024,
            Self::ExpressionNesting => 200,
            Self::Expressions => 10_000,
            Self::Parts => 100_000,
            Self::Pointer => super::pointer::Path::MAX,
            // Protobuf libraries decode about 100 nested messages, and each level of a map takes three of them.
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
            Self::ExpressionLength => write!(
                f,
                "The expression is too long: at most {limit} bytes are allowed. Split it, or pass long text in `inputs`."
            ),
            Self::ExpressionNesting => write!(
                f,
                "The expression is nested too deeply: at most {limit} levels are allowed, and each operator in a chain \
                 is a level. Use an f-string or join(...) in place of a long chain."
            ),
            Self::Expressions => write!(
                f,
                "The document has too many expressions and credentials: at most {limit} are allowed. Split the document."
            ),
            Self::Parts => write!(
                f,
                "The expressions have too many parts: at most {limit} operands, operators and calls are allowed in the \
                 whole document. Split the document."
            ),
            Self::Pointer => write!(
                f,
                "Below this place there is an expression or a credential whose JSON Pointer is longer than {limit} bytes. \
                 Use shorter keys."
            ),
            Self::Depth => write!(
                f,
                "Lists and maps are nested too deeply: at most {limit} levels are allowed, in the document, in the inputs \
                 and in the resolved document. Use fewer levels."
            ),
            Self::Secrets => write!(
                f,
                "The document names too many secrets: at most {limit} are allowed. Split the document."
            ),
            Self::Places => write!(
                f,
                "The document names secrets in too many places: the names and JSON Pointers may have at most {limit} \
                 bytes in all. Split the document, or use shorter keys."
            ),
            Self::Steps => write!(
                f,
                "The document takes too long to resolve: at most {limit} steps are allowed. Split the document, or pass \
                 smaller inputs."
            ),
            Self::Built => write!(
                f,
                "The expressions build too much data: at most {limit} bytes are allowed in the whole document, with \
                 intermediate results. Split the document, or use smaller widths and texts."
            ),
            Self::Output => write!(
                f,
                "The results and credentials are too large: at most {limit} bytes are allowed in the whole document. \
                 Split the document."
            ),
        }
    }
}

/// What the evaluation of a document may still cost.
pub(super) struct Budget {
    steps: usize,
    built: usize,
    output: usize,
}

/// How many bytes can be read or built in one step.
const BYTES_A_STEP: usize = 256;

impl Budget {
    /// The whole budget of a document.
    pub(super) fn new() -> Self {
        Self { steps: Bound::Steps.limit(), built: Bound::Built.limit(), output: Bound::Output.limit() }
    }

    /// Charges one step, and the steps to read a number of bytes.
    pub(super) fn charge_read(&mut self, bytes: usize) -> Result<(), ProblemKind> {
        spend(&mut self.steps, 1 + bytes / BYTES_A_STEP, Bound::Steps)
    }

    /// Charges the steps to look at a number of items.
    pub(super) fn charge_items(&mut self, items: usize) -> Result<(), ProblemKind> {
        self.charge_read(items.saturating_mul(16))
    }

    /// Charges the memory of a number of bytes that are about to be built, and the steps to build them.
    pub(super) fn charge_build(&mut self, bytes: usize) -> Result<(), ProblemKind> {
        spend(&mut self.built, bytes, Bound::Built)?;
        spend(&mut self.steps, bytes / BYTES_A_STEP, Bound::Steps)
    }

    /// Charges a number of bytes of the results.
    pub(super) fn charge_output(&mut self, bytes: usize) -> Result<(), ProblemKind> {
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
            *left = 0; // so that nothing smaller fits afterwards
            Err(ProblemKind::TooCostly(bound))
        }
    }
}

/// Builds a text piece by piece within the budget. Memory that it outgrows is wiped.
#[derive(Default)]
pub(super) struct Writer(Zeroizing<String>);

impl Writer {
    /// Adds text.
    pub(super) fn push(&mut self, text: &str, budget: &mut Budget) -> Result<(), ProblemKind> {
        self.reserve(text.len(), budget)?;
        self.0.push_str(text);
        Ok(())
    }

    /// Adds a character a number of times.
    pub(super) fn fill(&mut self, fill: char, times: usize, budget: &mut Budget) -> Result<(), ProblemKind> {
        self.reserve(times.saturating_mul(fill.len_utf8()), budget)?;
        self.0.extend(std::iter::repeat_n(fill, times));
        Ok(())
    }

    /// Charges a number of bytes and makes room for them. A `String` that grows by itself would leave an unwiped copy behind.
    fn reserve(&mut self, bytes: usize, budget: &mut Budget) -> Result<(), ProblemKind> {
        budget.charge_build(bytes)?;
        let needed = self.0.len() + bytes;
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(String::with_capacity(needed.max(2 * self.0.capacity())));
            larger.push_str(&self.0);
            self.0 = larger;
        }
        Ok(())
    }

    /// The text that has been built.
    pub(super) fn finish(self) -> Zeroizing<String> {
        self.0
    }
}
