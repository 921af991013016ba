//! Parses expressions: text to Python's tree, and that to the language's own tree.
//!
//! The text goes through ruff's Python parser. Then `tree.rs`, with `call.rs` for names and calls and `f_string.rs` for
//! texts, turns the constructs that the language has into [`Expr`], and refuses all others. The parser of documents calls
//! [`Parser::parse`] for each expression.

mod call;
mod f_string;
mod tree;

use std::collections::BTreeSet;

use ruff_python_ast as ast;
use ruff_python_ast::token::{Token, TokenKind};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};

use self::tree::Tree;
use super::ProblemKind;
use super::budget::Bound;
use super::grammar::Expr;
use super::nesting::check_tokens;
use crate::domain::SecretName;

/// The beginning of a string that is an expression.
pub(super) const MARK: &str = "$ ";

/// The state that the expressions of one document share while they are parsed.
pub(super) struct Parser {
    /// How many more parts the expressions may have.
    parts: usize,
    /// Whether any expression uses `inputs`.
    pub(super) uses_inputs: bool,
    /// The secrets that the last parsed expression names.
    pub(super) names: BTreeSet<SecretName>,
}

impl Parser {
    /// A parser for a new document.
    pub(super) fn new() -> Self {
        Self { parts: Bound::Parts.limit(), uses_inputs: false, names: BTreeSet::new() }
    }

    /// Parses a string that begins with [`MARK`].
    pub(super) fn parse(&mut self, text: &str) -> Result<Expr, ProblemKind> {
        self.names.clear();
        if text.len() > Bound::ExpressionLength.limit() {
            return Err(ProblemKind::TooCostly(Bound::ExpressionLength));
        }
        let source = text.strip_prefix(MARK).unwrap_or(text);
        check_tokens(source)?;
        // In this mode a long expression can have several lines, as if it were in parentheses.
        let parsed = parse_unchecked(source, ParseOptions::from(Mode::ParenthesizedExpression));
        let fields = keywords_as_fields(parsed.tokens(), !parsed.errors().is_empty());
        let is_field = |start| fields.binary_search(&start).is_ok();
        let error = parsed.errors().iter().find(|error| !is_field(error.location.start().to_usize()));
        if let Some(error) = error {
            let before = source.get(..error.location.start().to_usize()).unwrap_or(source);
            let at = MARK.len() + before.chars().count() + 1;
            return Err(ProblemKind::Syntax { at: Some(at) });
        }
        match parsed.syntax() {
            ast::Mod::Expression(expression) => Tree { source, parser: self }.expr(&expression.body),
            ast::Mod::Module(_) => Err(ProblemKind::Syntax { at: None }),
        }
    }
}

/// The places of keywords after a dot, in order; empty where the parser reported no errors at all. The parser reports such
/// a keyword as an error, and goes on with it as a name. Here it is no error: secrets and fields may have names such as
/// `class` or `from`.
fn keywords_as_fields(tokens: &[Token], any_errors: bool) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut before = TokenKind::Newline;
    for token in tokens.iter().filter(|_| any_errors) {
        let (kind, range) = token.as_tuple();
        if before == TokenKind::Dot && kind.is_non_soft_keyword() {
            starts.push(range.start().to_usize());
        }
        if !matches!(kind, TokenKind::Comment | TokenKind::NonLogicalNewline) {
            before = kind;
        }
    }
    starts
}
