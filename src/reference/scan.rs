use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

use super::ProblemKind;
use super::budget::Bound;
use super::refusal::foreign;

/// Refuses, from its tokens alone, an expression that parsing could nest too deeply, and keywords of other constructs.
///
/// The parser, its tree and everything made from it are recursive, and an overflow of the stack ends the process.
/// The lexer is not recursive. A level is an open bracket, or an operator since the last comma within its bracket: a
/// tree can only nest by these.
pub(super) fn scan(source: &str) -> Result<(), ProblemKind> {
    let mut lexer = lexer::lex(source, Mode::ParenthesizedExpression);
    let mut levels = Levels { open: Vec::new(), here: 0, depth: 0 };
    let mut before = TokenKind::Newline;
    loop {
        let token = lexer.next_token();
        match token {
            TokenKind::EndOfFile if levels.open.is_empty() => return Ok(()),
            TokenKind::EndOfFile | TokenKind::Unknown => return Err(ProblemKind::Syntax { at: None }),
            // These can follow each other as operators, as in `f()()`: they count also once they are closed.
            TokenKind::Lpar | TokenKind::Lsqb => levels.enter(1),
            TokenKind::Lbrace | TokenKind::FStringStart => levels.enter(0),
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace | TokenKind::FStringEnd => {
                levels.leave()?
            }
            TokenKind::Comma => levels.restart(),
            // A keyword as the name of a field or a secret.
            _ if before == TokenKind::Dot && token.is_keyword() => {}
            _ => {
                if let Some((name, remedy)) = foreign(token) {
                    return Err(ProblemKind::refused(name, remedy));
                }
                if nests(token) {
                    levels.count();
                }
            }
        }
        if levels.depth > Bound::ExpressionNesting.limit() {
            return Err(ProblemKind::TooCostly(Bound::ExpressionNesting));
        }
        if !matches!(token, TokenKind::Comment | TokenKind::NonLogicalNewline) {
            before = token;
        }
    }
}

/// How deep a place in an expression can be nested.
struct Levels {
    /// For each open bracket: what was counted before it within the bracket around it, and what it counts when closed.
    open: Vec<(usize, usize)>,
    /// What was counted within the innermost bracket.
    here: usize,
    /// All together.
    depth: usize,
}

impl Levels {
    fn enter(&mut self, closed: usize) {
        self.open.push((self.here, closed));
        self.here = 0;
        self.depth += 1;
    }

    fn leave(&mut self) -> Result<(), ProblemKind> {
        let (outer, closed) = self.open.pop().ok_or(ProblemKind::Syntax { at: None })?;
        self.depth = self.depth - self.here - 1 + closed;
        self.here = outer + closed;
        Ok(())
    }

    fn restart(&mut self) {
        self.depth -= self.here;
        self.here = 0;
    }

    fn count(&mut self) {
        self.here += 1;
        self.depth += 1;
    }
}

/// Whether the token can put what stands beside it a level deeper.
fn nests(token: TokenKind) -> bool {
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
