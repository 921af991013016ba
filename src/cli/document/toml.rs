//! Finds the references of a TOML document.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::node::Node;
use super::{MAX_DEPTH, Malformed};

/// Parses a TOML document.
pub(super) fn parse(text: &str) -> Result<Node, Malformed> {
    // The error's own text would show the line, which may have a value.
    let malformed = |error: toml::de::Error| Malformed {
        at: error.span().map_or(0, |span| span.start),
        reason: error.message().to_owned(),
    };
    let table = DeTable::parse(text).map_err(malformed)?;
    self::table(table.get_ref(), MAX_DEPTH)
}

fn table(table: &DeTable<'_>, depth: usize) -> Result<Node, Malformed> {
    let mut entries = table.iter().collect::<Vec<_>>();
    entries.sort_by_key(|(name, _)| name.span().start);
    let entries: Vec<_> = entries
        .into_iter()
        .map(|(name, value)| Ok((name.get_ref().to_string(), node(value, depth)?)))
        .collect::<Result<_, _>>()?;
    Ok(Node::map(entries.into_iter()))
}

fn node(value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Node, Malformed> {
    let too_deep =
        || Malformed { at: value.span().start, reason: format!("nested more than {MAX_DEPTH} deep") };
    let deeper = || depth.checked_sub(1).ok_or_else(too_deep);
    match value.get_ref() {
        DeValue::String(text) => Ok(Node::Text { value: text.to_string().into(), span: value.span() }),
        DeValue::Array(items) => {
            let depth = deeper()?;
            Ok(Node::List(items.iter().map(|item| node(item, depth)).collect::<Result<_, _>>()?))
        }
        DeValue::Table(inner) => table(inner, deeper()?),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            Ok(Node::Other)
        }
    }
}
