//! Checks an expression's tokens before it is parsed.
//!
//! The Python parser, its tree and everything made from the tree are recursive, and a stack overflow would end the process.
//! The lexer is not recursive. So the depth is bounded from the tokens alone: a level is an open bracket, or an operator
//! since the last comma within its bracket, and a tree can nest by nothing else.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

use super::ProblemKind;
use super::budget::Bound;
use super::unsupported::unsupported_token;

/// Refuses an expression that could be nested too deeply, and one with the keyword of a construct that the language lacks.
pub(super) fn check_tokens(source: &str) -> Result<(), ProblemKind> {
    let mut lexer = lexer::lex(source, Mode::ParenthesizedExpression);
    let mut nesting = Nesting { open: Vec::new(), here: 0, depth: 0 };
    let mut before = TokenKind::Newline;
    loop {
        let token = lexer.next_token();
        match token {
            TokenKind::EndOfFile if nesting.open.is_empty() => return Ok(()),
            TokenKind::EndOfFile | TokenKind::Unknown => return Err(ProblemKind::Syntax { at: None }),
            // One of these can follow another as an operator, as in `f()()`, so that it counts even when it is closed.
            TokenKind::Lpar | TokenKind::Lsqb => nesting.open(1),
            TokenKind::Lbrace | TokenKind::FStringStart => nesting.open(0),
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace | TokenKind::FStringEnd => {
                nesting.close()?
            }
            TokenKind::Comma => nesting.restart(),
            // After a dot, a keyword is the name of a field or a secret.
            _ if before == TokenKind::Dot && token.is_keyword() => {}
            _ => {
                if let Some((name, remedy)) = unsupported_token(token) {
                    return Err(ProblemKind::unsupported(name, remedy));
                }
                if can_nest(token) {
                    nesting.count();
                }
            }
        }
        if nesting.depth > Bound::ExpressionNesting.limit() {
            return Err(ProblemKind::TooCostly(Bound::ExpressionNesting));
        }
        if !matches!(token, TokenKind::Comment | TokenKind::NonLogicalNewline) {
            before = token;
        }
    }
}

/// How deep the tree can be at a place in the expression.
struct Nesting {
    /// For each open bracket: the levels counted before it within the bracket around it, and the levels that it counts as
    /// when it is closed.
    open: Vec<(usize, usize)>,
    /// The levels counted within the innermost bracket.
    here: usize,
    /// All levels together.
    depth: usize,
}

impl Nesting {
    /// Opens a bracket, which counts as `closed` levels when it is closed.
    fn open(&mut self, closed: usize) {
        self.open.push((self.here, closed));
        self.here = 0;
        self.depth += 1;
    }

    /// Closes the innermost bracket.
    fn close(&mut self) -> Result<(), ProblemKind> {
        let (outer, closed) = self.open.pop().ok_or(ProblemKind::Syntax { at: None })?;
        self.depth = self.depth - self.here - 1 + closed;
        self.here = outer + closed;
        Ok(())
    }

    /// Starts counting again within the innermost bracket, after a comma.
    fn restart(&mut self) {
        self.depth -= self.here;
        self.here = 0;
    }

    /// Counts a level.
    fn count(&mut self) {
        self.here += 1;
        self.depth += 1;
    }
}

/// Whether the token can put the tokens beside it one level deeper.
fn can_nest(token: TokenKind) -> bool {
    !matches!(
        token,
        TokenKind::Name
            | TokenKind::Int
            | TokenKind::Float
            | TokenKind::String
            | TokenKind::FStringMiddle
            | TokenKind::Comment
            | TokenKind::NonLogicalNewline
            | TokenKind::Newline
            | TokenKind::True
            | TokenKind::False
            | TokenKind::None
    )
}
