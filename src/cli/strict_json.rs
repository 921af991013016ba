//! JSON as files have it: a byte order mark is ignored, a member that is given twice is refused, and a refusal has the place and
//! the parser's own reason, without any text of the file.

use serde_json::Value as Json;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::document::pairs;
use super::output::printable;

/// The text behind a byte order mark, which some editors write.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Checks the syntax of the text, and returns it as it is written.
pub(super) fn raw(text: &str) -> Result<&RawValue, String> {
    serde_json::from_str(without_mark(text)).map_err(|error| refused(&error))
}

/// Reads the whole text.
pub(super) fn parse(text: &str) -> Result<Json, String> {
    let text = without_mark(text);
    let json = serde_json::from_str(text).map_err(|error| refused(&error))?;
    // The first read has bounded the nesting.
    match serde_json::from_str(text).ok().and_then(repeated) {
        None => Ok(json),
        Some(member) => Err(format!("the member '{}' is given twice", printable(&member))),
    }
}

/// The place and the reason of a syntax error.
pub(super) fn refused(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        // Errors of these kinds have words of the parser only.
        Category::Syntax | Category::Eof => format!("{place}: {}", reason(error)),
        Category::Data | Category::Io => format!("{place}: this is not what is expected here"),
    }
}

/// The parser's words without the place.
fn reason(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.split(" at line ").next().unwrap_or_default().to_owned()
}

/// A member that an object has twice, at any depth.
fn repeated(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first() {
        Some(b'{') => {
            let members = pairs(raw.get())?;
            let mut names = std::collections::HashSet::new();
            let twice = members.iter().find(|(name, _)| !names.insert(name.as_str()));
            twice
                .map(|(name, _)| name.clone())
                .or_else(|| members.into_iter().find_map(|(_, raw)| repeated(raw)))
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
            items.into_iter().find_map(repeated)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_ignored_and_a_refusal_has_its_place_and_no_text() {
        assert_eq!(parse("\u{feff}{\"a\": 1}"), Ok(serde_json::json!({ "a": 1 })));
        for (text, told) in [
            ("{\"a\": \"hidden", "line 1, column 13: EOF while parsing a string"),
            ("{\n\"a\" \"hidden\"}", "line 2, column 5: expected `:`"),
            ("hidden", "line 1, column 1: expected value"),
            ("", "line 1, column 0: EOF while parsing a value"),
            ("{\"a\": [{\"b\": 1, \"b\": \"hidden\"}]}", "the member 'b' is given twice"),
        ] {
            assert_eq!(parse(text), Err(told.to_owned()), "{text}");
        }
    }
}
