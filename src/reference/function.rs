//! The functions of the language. Methods of texts are functions whose first argument is the text.
//!
//! Each gives the same as its namesake in Python, which docs/references.md names; `tests/references_cpython.rs` compares
//! them with CPython.

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::budget::{Budget, Writer};
use super::grammar::Function;
use super::text::{write_json, write_str};
use super::{Data, ProblemKind};

/// Calls a function; the parser has checked the number of its arguments.
pub(super) fn call(
    function: Function,
    arguments: &[&Data],
    budget: &mut Budget,
) -> Result<Data, ProblemKind> {
    const MISSING: ProblemKind = ProblemKind::Type("The function needs another argument.");
    let first = *arguments.first().ok_or(MISSING)?;
    let argument = |at: usize| arguments.get(at).copied();
    match function {
        Function::Str => str(first, budget),
        Function::Len => len(first, budget),
        Function::Base64 => base64(first, budget),
        Function::UrlEncode => urlencode(first, budget),
        Function::Json => {
            let mut to = Writer::default();
            write_json(first, &mut to, budget)?;
            Ok(Data::Text(to.finish()))
        }
        Function::Upper => cased(text(first)?, str::to_uppercase, budget),
        Function::Lower => cased(text(first)?, str::to_lowercase, budget),
        Function::Strip => strip(text(first)?, argument(1), budget),
        Function::Replace => {
            let (old, new) = (argument(1).ok_or(MISSING)?, argument(2).ok_or(MISSING)?);
            replace(text(first)?, text(old)?, text(new)?, limit(argument(3))?, budget)
        }
        Function::Join => join(text(first)?, argument(1).ok_or(MISSING)?, budget),
        Function::Split => split(text(first)?, argument(1), limit(argument(2))?, budget),
    }
}

fn text(data: &Data) -> Result<&str, ProblemKind> {
    match data {
        Data::Text(text) => Ok(text),
        Data::Bytes(_) => Err(ProblemKind::Binary),
        _ => Err(ProblemKind::Type("The function needs a text here: convert other values with str(...).")),
    }
}

/// The greatest number of replacements or splits. A negative number means no limit.
fn limit(data: Option<&Data>) -> Result<usize, ProblemKind> {
    match data {
        None => Ok(usize::MAX),
        Some(Data::Int(limit)) => Ok(usize::try_from(*limit).unwrap_or(usize::MAX)),
        Some(Data::Bool(limit)) => Ok(usize::from(*limit)),
        Some(_) => Err(ProblemKind::Type("The function needs a whole number as its limit.")),
    }
}

/// A text whose bytes were charged already.
fn built(text: String) -> Data {
    Data::Text(Zeroizing::new(text))
}

fn str(data: &Data, budget: &mut Budget) -> Result<Data, ProblemKind> {
    let mut to = Writer::default();
    write_str(data, &mut to, budget)?;
    Ok(Data::Text(to.finish()))
}

fn len(data: &Data, budget: &mut Budget) -> Result<Data, ProblemKind> {
    let length = match data {
        Data::Text(text) => {
            budget.charge_read(text.len())?;
            text.chars().count()
        }
        Data::Bytes(bytes) => bytes.len(),
        Data::List(items) => items.len(),
        Data::Map(fields) => fields.len(),
        _ => return Err(ProblemKind::Type("len needs a text, a list, a map or a binary secret.")),
    };
    i64::try_from(length).map(Data::Int).map_err(|_| ProblemKind::Type("The length is too large."))
}

fn base64(data: &Data, budget: &mut Budget) -> Result<Data, ProblemKind> {
    let bytes = match data {
        Data::Bytes(bytes) => bytes.as_slice(),
        data => text(data)?.as_bytes(),
    };
    let length = BASE64.encode_len(bytes.len());
    budget.charge_build(length)?;
    let mut encoded = String::with_capacity(length);
    BASE64.encode_append(bytes, &mut encoded);
    Ok(built(encoded))
}

/// A text as `urllib.parse.quote(text, safe="")` writes it, or a map as `urllib.parse.urlencode(map)` writes it.
fn urlencode(data: &Data, budget: &mut Budget) -> Result<Data, ProblemKind> {
    let mut to = Writer::default();
    let Data::Map(fields) = data else {
        percent_encode(text(data)?, "%20", &mut to, budget)?;
        return Ok(Data::Text(to.finish()));
    };
    for (at, (key, value)) in fields.iter().enumerate() {
        if matches!(value, Data::List(_) | Data::Map(_)) {
            return Err(ProblemKind::Type(
                "urlencode needs texts and numbers as the values of its map: convert lists and maps with json(...).",
            ));
        }
        to.push(if at == 0 { "" } else { "&" }, budget)?;
        percent_encode(key, "+", &mut to, budget)?;
        to.push("=", budget)?;
        let mut value_text = Writer::default();
        write_str(value, &mut value_text, budget)?;
        percent_encode(&value_text.finish(), "+", &mut to, budget)?;
    }
    Ok(Data::Text(to.finish()))
}

fn percent_encode(text: &str, space: &str, to: &mut Writer, budget: &mut Budget) -> Result<(), ProblemKind> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '~');
    let mut rest = text;
    while let Some(at) = rest.find(|c| !plain(c)) {
        let (run, tail) = rest.split_at(at);
        to.push(run, budget)?;
        let mut chars = tail.chars();
        match chars.next() {
            Some(' ') => to.push(space, budget)?,
            Some(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    to.push(&format!("%{byte:02X}"), budget)?;
                }
            }
            None => {}
        }
        rest = chars.as_str();
    }
    to.push(rest, budget)
}

fn cased(text: &str, change: impl Fn(&str) -> String, budget: &mut Budget) -> Result<Data, ProblemKind> {
    // In another case a character has at most three times as many bytes.
    budget.charge_build(3 * text.len())?;
    Ok(built(change(text)))
}

fn strip(text: &str, chars: Option<&Data>, budget: &mut Budget) -> Result<Data, ProblemKind> {
    let stripped = match chars {
        None | Some(Data::Null) => {
            budget.charge_read(text.len())?;
            text.trim_matches(is_space)
        }
        Some(chars) => {
            let chars = self::text(chars)?;
            // Each character of one text may be compared with each character of the other.
            budget.charge_read(text.len().saturating_mul(chars.len().max(1)))?;
            text.trim_matches(|c| chars.contains(c))
        }
    };
    budget.charge_build(stripped.len())?;
    Ok(built(stripped.to_owned()))
}

/// White space as Python defines it: that of Unicode, and the four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

fn replace(text: &str, old: &str, new: &str, limit: usize, budget: &mut Budget) -> Result<Data, ProblemKind> {
    budget.charge_read(text.len())?;
    let mut to = Writer::default();
    let mut done = 0;
    for (at, found) in text.match_indices(old).take(limit) {
        budget.charge_read(0)?;
        to.push(text.get(done..at).unwrap_or_default(), budget)?;
        to.push(new, budget)?;
        done = at + found.len();
    }
    to.push(text.get(done..).unwrap_or_default(), budget)?;
    Ok(Data::Text(to.finish()))
}

fn join(separator: &str, items: &Data, budget: &mut Budget) -> Result<Data, ProblemKind> {
    const ITEMS: ProblemKind =
        ProblemKind::Type("join needs a list of texts: convert other items with str(...).");
    let mut to = Writer::default();
    match items {
        Data::List(items) => {
            for (at, item) in items.iter().enumerate() {
                budget.charge_read(0)?;
                to.push(if at == 0 { "" } else { separator }, budget)?;
                match item {
                    Data::Text(item) => to.push(item, budget)?,
                    _ => return Err(ITEMS),
                }
            }
        }
        _ => return Err(ITEMS),
    }
    Ok(Data::Text(to.finish()))
}

fn split(
    text: &str,
    separator: Option<&Data>,
    limit: usize,
    budget: &mut Budget,
) -> Result<Data, ProblemKind> {
    budget.charge_read(text.len())?;
    let mut items = Vec::new();
    let mut add = |item: &str, budget: &mut Budget| {
        // Twice the size of an item, since the list grows by doubling.
        budget.charge_build(2 * size_of::<Data>() + item.len())?;
        items.push(Data::text(item));
        Ok(())
    };
    let separator = match separator {
        None | Some(Data::Null) => None,
        Some(separator) => Some(self::text(separator)?),
    };
    match separator {
        Some("") => return Err(ProblemKind::Value("split needs a separator that is not empty.")),
        Some(separator) => {
            for item in text.splitn(limit.saturating_add(1), separator) {
                add(item, budget)?;
            }
        }
        None => {
            let mut rest = text.trim_start_matches(is_space);
            let mut splits = 0;
            while !rest.is_empty() {
                let end = if splits < limit { rest.find(is_space) } else { None };
                let (item, after) = rest.split_at(end.unwrap_or(rest.len()));
                add(item, budget)?;
                splits += 1;
                rest = after.trim_start_matches(is_space);
            }
        }
    }
    Ok(Data::List(items))
}
