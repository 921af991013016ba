//! Finds the references of a YAML stream. The parser gives events with places, which this file turns into bytes.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::node::{Node, is_reference};
use super::{MAX_DEPTH, Malformed};

/// Parses a YAML stream: its only document, or a list of its documents.
pub(super) fn parse(text: &str) -> Result<Node, Malformed> {
    let mut reader = Reader::new(text);
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            Event::StreamEnd => break,
            event => documents.push(reader.node(event, span, MAX_DEPTH)?),
        }
    }
    Ok(match documents.pop() {
        None => Node::Other,
        Some(only) if documents.is_empty() => only,
        Some(last) => {
            documents.push(last);
            Node::List(documents)
        }
    })
}

struct Reader<'a> {
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    /// The byte where each character begins, and the end of the text. The parser counts characters.
    bytes: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let bytes = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        Self { text, events: Parser::new_from_str(text), bytes }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Malformed> {
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(self.malformed(&error)),
        }
    }

    /// The part that this event begins, with everything in it.
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Malformed> {
        let at = self.byte(span.start.index());
        let deeper = || {
            depth.checked_sub(1).ok_or_else(|| malformed(at, format!("nested more than {MAX_DEPTH} deep")))
        };
        match event {
            Event::Scalar(value, ScalarStyle::Plain, ..) if !is_text(&value) => Ok(Node::Other),
            Event::Scalar(value, style, ..) => {
                let span = match written(self.text, at, self.byte(span.end.index()), style) {
                    Some(span) => span,
                    // A string that is not a reference stays, so its end is not needed.
                    None if !is_reference(&value) => at..at,
                    None => {
                        return Err(malformed(
                            at,
                            "the beginning and the end of this string cannot be found".into(),
                        ));
                    }
                };
                Ok(Node::Text { value: value.into_owned().into(), span })
            }
            Event::SequenceStart(..) => {
                let depth = deeper()?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Some((Event::SequenceEnd, _)) | None => return Ok(Node::List(items)),
                        Some((event, span)) => items.push(self.node(event, span, depth)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let depth = deeper()?;
                let mut entries = Vec::new();
                loop {
                    let name = match self.next()? {
                        Some((Event::MappingEnd, _)) | None => return Ok(Node::map(entries.into_iter())),
                        Some((Event::Scalar(name, ..), _)) => name.into_owned(),
                        // A list or a map as a key has no name, and a key has no references.
                        Some((event, span)) => {
                            self.node(event, span, depth)?;
                            "?".to_owned()
                        }
                    };
                    let Some((event, span)) = self.next()? else { return Ok(Node::map(entries.into_iter())) };
                    entries.push((name, self.node(event, span, depth)?));
                }
            }
            // An alias means the resolved value of its anchor.
            _ => Ok(Node::Other),
        }
    }

    fn byte(&self, character: usize) -> usize {
        self.bytes.get(character).copied().unwrap_or(self.text.len())
    }

    fn malformed(&self, error: &ScanError) -> Malformed {
        malformed(self.byte(error.marker().index()), error.info().to_owned())
    }
}

fn malformed(at: usize, reason: String) -> Malformed {
    Malformed { at, reason }
}

/// The place of a string in bytes. The parser's span may begin with the anchor and the tag, may lack a block's header, and
/// may include text after the string.
fn written(text: &str, start: usize, end: usize, style: ScalarStyle) -> Option<Range<usize>> {
    let start = after_properties(text, start)?;
    let rest = text.get(start..)?;
    match style {
        ScalarStyle::Plain => Some(start..start + trimmed(text.get(start..end)?)),
        ScalarStyle::SingleQuoted => {
            let inside = rest.strip_prefix('\'')?.as_bytes();
            let mut at = 0;
            loop {
                at += inside.get(at..)?.iter().position(|byte| *byte == b'\'')?;
                if inside.get(at + 1) != Some(&b'\'') {
                    return Some(start..start + at + 2);
                }
                at += 2;
            }
        }
        ScalarStyle::DoubleQuoted => {
            let inside = rest.strip_prefix('"')?.as_bytes();
            let mut at = 0;
            loop {
                match inside.get(at)? {
                    b'"' => return Some(start..start + at + 2),
                    b'\\' => at += 2,
                    _ => at += 1,
                }
            }
        }
        ScalarStyle::Literal | ScalarStyle::Folded => {
            let header = if rest.starts_with(['|', '>']) { start } else { header_above(text, start)? };
            let end = end.max(header);
            let block = text.get(header..end)?;
            Some(header..header + trimmed(block))
        }
    }
}

/// The length of a text without the blanks and line ends at its end.
fn trimmed(text: &str) -> usize {
    text.trim_end_matches([' ', '\t', '\r', '\n']).len()
}

/// The place after a `&anchor` and a `!tag`, in either order.
fn after_properties(text: &str, mut start: usize) -> Option<usize> {
    while text.get(start..)?.starts_with(['&', '!']) {
        let rest = text.get(start..)?;
        let property = rest.find([' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        start += property;
        let rest = text.get(start..)?;
        start += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }
    Some(start)
}

/// The place of the `|` or `>` that begins a block: the first one in its line that only a comment follows.
fn header_above(text: &str, start: usize) -> Option<usize> {
    let above = text.get(..start)?.trim_end_matches([' ', '\t', '\r', '\n']);
    let line = above.rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let ends_line = |(at, _): &(usize, &str)| {
        let before = above.get(line..line + at).unwrap_or_default();
        let after = above.get(line + at + 1..).unwrap_or_default();
        let after = after.trim_start_matches(['+', '-', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
        (before.is_empty() || before.ends_with([' ', '\t']))
            && (after.trim().is_empty()
                || (after.starts_with([' ', '\t']) && after.trim_start().starts_with('#')))
    };
    let found = above.get(line..)?.match_indices(['|', '>']).find(ends_line)?;
    Some(line + found.0)
}

/// Whether a plain scalar is text, and not of another type of YAML's core schema.
fn is_text(plain: &str) -> bool {
    let word = matches!(
        plain,
        "" | "~" | "null" | "Null" | "NULL" | "true" | "True" | "TRUE" | "false" | "False" | "FALSE"
    );
    let number = plain.starts_with(['+', '-', '.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        && (plain.parse::<f64>().is_ok() || plain.starts_with("0x") || plain.starts_with("0o"));
    !word && !number
}
