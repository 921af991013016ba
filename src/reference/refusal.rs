//! What of Python is refused, by its name, and what to write in its place.

use ruff_python_ast as ast;
use ruff_python_ast::token::TokenKind;

use super::ProblemKind;

/// What to say where something else is called.
pub(super) const FUNCTIONS: &str =
    "There are str, len, upper, lower, strip, replace, join, split, base64, urlencode and json.";

/// Refuses a construct that the parser has read.
pub(super) fn refused(expr: &ast::Expr) -> ProblemKind {
    let (name, remedy) = match expr {
        ast::Expr::Lambda(_) => ("a lambda", ""),
        ast::Expr::Named(_) => ("an assignment (`:=`)", "Write the value where it is used."),
        ast::Expr::Set(_) => ("a set", "Write a list."),
        ast::Expr::ListComp(_) | ast::Expr::SetComp(_) | ast::Expr::DictComp(_) | ast::Expr::Generator(_) => {
            ("a comprehension", "Write the items out, or prepare the list in `inputs`.")
        }
        ast::Expr::Await(_) => ("await and async", ""),
        ast::Expr::Yield(_) | ast::Expr::YieldFrom(_) => ("yield", ""),
        ast::Expr::TString(_) => ("a t-string", "Use an f-string."),
        ast::Expr::BytesLiteral(_) => ("a bytes text (`b''`)", "Leave out the b."),
        ast::Expr::EllipsisLiteral(_) => ("an ellipsis (`...`)", ""),
        ast::Expr::Starred(_) => ("a starred value (`*`)", ""),
        ast::Expr::Tuple(_) => ("a tuple here", "Write a list."),
        ast::Expr::Slice(_) => ("a slice here", ""),
        _ => ("this construct", ""),
    };
    ProblemKind::refused(name, remedy)
}

/// The name of the construct, and what to do, where the token only stands in one that is refused.
pub(super) fn foreign(token: TokenKind) -> Option<(&'static str, &'static str)> {
    Some(match token {
        TokenKind::Lambda => ("a lambda", ""),
        TokenKind::ColonEqual => ("an assignment (`:=`)", "Write the value where it is used."),
        TokenKind::Yield => ("yield", ""),
        TokenKind::Await | TokenKind::Async => ("await and async", ""),
        TokenKind::For => ("a comprehension", "Write the items out, or prepare the list in `inputs`."),
        TokenKind::TStringStart => ("a t-string", "Use an f-string."),
        TokenKind::Complex => ("a complex number", ""),
        TokenKind::Ellipsis => ("an ellipsis (`...`)", ""),
        TokenKind::Equal => {
            ("a single `=`", "Compare with `==`. Arguments have no names here, f-strings no `{x=}`.")
        }
        TokenKind::Semi
        | TokenKind::PlusEqual
        | TokenKind::As
        | TokenKind::Assert
        | TokenKind::Break
        | TokenKind::Class
        | TokenKind::Continue
        | TokenKind::Def
        | TokenKind::Del
        | TokenKind::Elif
        | TokenKind::Except
        | TokenKind::Finally
        | TokenKind::From
        | TokenKind::Global
        | TokenKind::Import
        | TokenKind::Nonlocal
        | TokenKind::Pass
        | TokenKind::Raise
        | TokenKind::Return
        | TokenKind::Try
        | TokenKind::While
        | TokenKind::With => ("a statement", "An expression is one value."),
        _ => return None,
    })
}

/// Refuses a method.
pub(super) fn unknown_method(name: &str) -> ProblemKind {
    let remedy = match name {
        "format" => "Use an f-string.",
        "get" => "Write `value.field if \"field\" in value else default`.",
        _ => "Texts have upper, lower, strip, replace, join and split.",
    };
    ProblemKind::refused_identifier("the method", name, remedy)
}
