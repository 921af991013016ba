//! The constructs of Python that the language of references lacks: their names, and what to write in their place.
//!
//! An empty remedy means that there is nothing to write in place of the construct; the message then points to
//! docs/references.md.

use ruff_python_ast as ast;
use ruff_python_ast::token::TokenKind;

use super::ProblemKind;

/// The remedy where an unknown function is called.
pub(super) const FUNCTIONS: &str =
    "The functions are str, len, upper, lower, strip, replace, join, split, base64, urlencode and json.";

/// The problem of a construct that the Python parser has read.
pub(super) fn unsupported_expression(expr: &ast::Expr) -> ProblemKind {
    let (name, remedy) = match expr {
        ast::Expr::Lambda(_) => ("a lambda", ""),
        ast::Expr::Named(_) => ("an assignment (`:=`)", "Write the value where it is used."),
        ast::Expr::Set(_) => ("a set", "Write a list."),
        ast::Expr::ListComp(_) | ast::Expr::SetComp(_) | ast::Expr::DictComp(_) | ast::Expr::Generator(_) => {
            ("a comprehension", "Write the items out, or prepare the list in `inputs`.")
        }
        ast::Expr::Await(_) => ("await or async", ""),
        ast::Expr::Yield(_) | ast::Expr::YieldFrom(_) => ("yield", ""),
        ast::Expr::TString(_) => ("a t-string", "Use an f-string."),
        ast::Expr::BytesLiteral(_) => ("a bytes literal (`b''`)", "Write the text without the b."),
        ast::Expr::EllipsisLiteral(_) => ("an ellipsis (`...`)", ""),
        ast::Expr::Starred(_) => ("a starred value (`*`)", ""),
        ast::Expr::Tuple(_) => ("a tuple here", "Write a list."),
        ast::Expr::Slice(_) => ("a slice here", ""),
        _ => ("this construct", ""),
    };
    ProblemKind::unsupported(name, remedy)
}

/// For a token that occurs only in constructs that the language lacks: the construct's name, and the remedy.
pub(super) fn unsupported_token(token: TokenKind) -> Option<(&'static str, &'static str)> {
    Some(match token {
        TokenKind::Lambda => ("a lambda", ""),
        TokenKind::ColonEqual => ("an assignment (`:=`)", "Write the value where it is used."),
        TokenKind::Yield => ("yield", ""),
        TokenKind::Await | TokenKind::Async => ("await or async", ""),
        TokenKind::For => ("a comprehension", "Write the items out, or prepare the list in `inputs`."),
        TokenKind::TStringStart => ("a t-string", "Use an f-string."),
        TokenKind::Complex => ("a complex number", ""),
        TokenKind::Ellipsis => ("an ellipsis (`...`)", ""),
        TokenKind::Equal => (
            "a single `=`",
            "Compare with `==`. Named arguments, and fields such as `{x=}` in f-strings, are not supported.",
        ),
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
        | TokenKind::With => ("a statement", "Write one expression that gives a value."),
        _ => return None,
    })
}

/// The problem of a method that does not exist here.
pub(super) fn unknown_method(name: &str) -> ProblemKind {
    let remedy = match name {
        "format" => "Use an f-string.",
        "get" => "Write `value.field if \"field\" in value else default`.",
        _ => "The methods, all of texts, are upper, lower, strip, replace, join and split.",
    };
    ProblemKind::unsupported_named("the method", name, remedy)
}
