//! Finds the references of a text that is a template.

use std::ops::Range;

use super::node::Node;
use super::{Malformed, Parsed};

/// Parses a text with references between `{{` and `}}`. `{{{{` is a literal `{{`; a `}}` elsewhere is literal too.
pub(super) fn parse(text: &str) -> Result<Parsed, Malformed> {
    let mut references = Vec::new();
    let mut escapes: Vec<(Range<usize>, &'static str)> = Vec::new();
    let mut from = 0;
    while let Some(at) = find(text, "{{", from) {
        if text.get(at..).is_some_and(|rest| rest.starts_with("{{{{")) {
            escapes.push((at..at + 4, "{{"));
            from = at + 4;
            continue;
        }
        let unended = || Malformed {
            at,
            reason: "the closing '}}' is missing (a literal '{{' is written '{{{{')".into(),
        };
        let end = end_of_expression(text, at + 2).ok_or_else(unended)?;
        let expression = text.get(at + 2..end).unwrap_or_default().trim();
        if expression.is_empty() {
            return Err(Malformed { at, reason: "there is no expression between '{{' and '}}'".into() });
        }
        references.push((
            (references.len() + 1).to_string(),
            Node::Text { value: format!("$ {expression}").into(), span: at..end + 2 },
        ));
        from = end + 2;
    }
    Ok((Node::map(references.into_iter()), escapes))
}

/// The place of the `}}` that ends an expression. A string in the expression may have braces.
fn end_of_expression(text: &str, start: usize) -> Option<usize> {
    let mut quote = None;
    let mut characters = text.get(start..)?.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => {
                characters.next();
            }
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '}') if text.get(start + at..).is_some_and(|rest| rest.starts_with("}}")) => {
                return Some(start + at);
            }
            _ => {}
        }
    }
    None
}

fn find(text: &str, what: &str, from: usize) -> Option<usize> {
    text.get(from..)?.find(what).map(|at| from + at)
}
