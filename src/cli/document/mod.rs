//! Documents with references: where they stand, what of them the service is sent, and the resolved text.
//!
//! The text is never written anew: each reference's own bytes are replaced by its value, and all others stay as they
//! are. So order, comments, and types that the wire has not (TOML's times, integers beyond 2^53, YAML's keys) can not
//! change. What is no reference is not sent either.

mod json;
mod literal;
mod node;
mod template;
mod toml;
mod yaml;

use std::ops::Range;
use std::path::Path;

use prost_types::{Struct, Value};
use zeroize::Zeroizing;

use self::node::Node;
use super::dotenv;

pub(super) use self::json::pairs;

/// What a document is written in.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// References are strings that begin with '$ '
    Json,
    /// References are strings that begin with '$ '
    Yaml,
    /// References are strings that begin with '$ '
    Toml,
    /// KEY=VALUE lines; references are values that begin with '$ '
    Env,
    /// Any UTF-8 text; references stand between '{{' and '}}', and '{{{{' is a literal '{{'
    Text,
}

impl Format {
    /// The format that a file's name tells; text where it tells none.
    pub(super) fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            Some("toml") => Self::Toml,
            Some("env") => Self::Env,
            _ if name.starts_with(".env.") => Self::Env, // .env.production and its kin
            _ => Self::Text,
        }
    }
}

/// A document, read.
pub(super) struct Document {
    format: Format,
    text: Zeroizing<String>,
    root: Node,
    /// What is replaced whatever the service answers: escapes.
    edits: Vec<(Range<usize>, &'static str)>,
}

/// Where in a text something is wrong (in bytes), and what.
pub(super) struct Malformed {
    at: usize,
    reason: String,
}

/// The member that holds a document which is itself no map: the wire has only maps on top.
const WRAPPER: &str = "document";

/// Deeper than documents are, and far from the end of the stack.
const MAX_DEPTH: usize = 100;

/// How many lists and maps a reference can stand in. Readers of protobuf take 100 messages in each other, and a map is
/// three of them.
const MAX_REFERENCE_DEPTH: usize = 32;

impl Document {
    pub(super) fn parse(text: Zeroizing<String>, format: Format) -> Result<Self, String> {
        match parse(&text, format) {
            Ok((root, edits)) => Ok(Self { format, text, root, edits }),
            Err(Malformed { at, reason }) => {
                let (line, column) = position(&text, at);
                Err(format!("line {line}, column {column}: {reason}"))
            }
        }
    }

    /// What the service is sent: the document's shape around its references, and nothing else of it.
    pub(super) fn skeleton(&self) -> Struct {
        let value = self.root.skeleton();
        match (&self.root, value.and_then(|value| value.kind)) {
            (_, None) => Struct::default(),
            (Node::Map(_), Some(prost_types::value::Kind::StructValue(document))) => document,
            (_, kind) => Struct { fields: [(WRAPPER.to_owned(), Value { kind })].into() },
        }
    }

    /// The line and column, from 1, of what a JSON Pointer of the service names.
    pub(super) fn position(&self, pointer: &str) -> Option<(usize, usize)> {
        let pointer = if self.is_wrapped() { pointer.strip_prefix("/document")? } else { pointer };
        match self.root.at(pointer)? {
            Node::Text { span, .. } => Some(position(&self.text, span.start)),
            Node::Other | Node::List(_) | Node::Map(_) => None,
        }
    }

    /// The pointer into this document that a pointer of the service is; `None` where the document has none to people.
    pub(super) fn own_pointer<'p>(&self, pointer: &'p str) -> Option<&'p str> {
        match self.format {
            Format::Text => None,
            _ if self.is_wrapped() => pointer.strip_prefix("/document"),
            _ => Some(pointer),
        }
    }

    /// The text with every reference replaced by what the service resolved it to.
    pub(super) fn render(&self, resolved: Struct) -> Result<Zeroizing<String>, String> {
        let mut fields = resolved.fields;
        let resolved = if self.is_wrapped() {
            fields.remove(WRAPPER)
        } else {
            let kind = prost_types::value::Kind::StructValue(Struct { fields });
            Some(Value { kind: Some(kind) })
        };
        let mut edits: Vec<(Range<usize>, Zeroizing<String>)> = Vec::new();
        edits.extend(self.edits.iter().map(|(span, by)| (span.clone(), Zeroizing::new((*by).to_owned()))));
        for (span, value) in self.root.references(resolved.as_ref()) {
            let failed = |reason: &str| {
                let (line, column) = position(&self.text, span.start);
                format!("line {line}, column {column}: {reason}")
            };
            let value = value.ok_or_else(|| failed("the service sent nothing for this reference"))?;
            edits.push((span.clone(), literal::write(self.format, value).map_err(failed)?));
        }
        edits.sort_by_key(|(span, _)| span.start);
        let rendered = splice(&self.text, &edits).ok_or("its references stand inside each other")?;
        // A template's values may hold braces of their own; everything else must read as it was meant.
        let good = self.format == Format::Text
            || parse(&rendered, self.format)
                .is_ok_and(|(root, _)| self.root.resolves_to(&root, resolved.as_ref()));
        if good {
            Ok(rendered)
        } else {
            Err("a reference stands where its value can not be put: write it as a quoted string on a line of its own"
                .to_owned())
        }
    }

    fn is_wrapped(&self) -> bool {
        !matches!(self.root, Node::Map(_))
    }
}

type Parsed = (Node, Vec<(Range<usize>, &'static str)>);

fn parse(text: &str, format: Format) -> Result<Parsed, Malformed> {
    let (root, edits) = match format {
        Format::Json => (json::parse(text)?, Vec::new()),
        Format::Yaml => (yaml::parse(text)?, Vec::new()),
        Format::Toml => (toml::parse(text)?, Vec::new()),
        Format::Env => {
            let entries =
                dotenv::parse(text).map_err(|(at, reason)| Malformed { at, reason: reason.into() })?;
            let node =
                |entry: dotenv::Entry| (entry.name, Node::Text { value: entry.value, span: entry.span });
            (Node::map(entries.into_iter().map(node)), Vec::new())
        }
        Format::Text => template::parse(text)?,
    };
    if let Some(span) = root.reference_below(MAX_REFERENCE_DEPTH + 1) {
        let reason = format!("this reference stands in more than {MAX_REFERENCE_DEPTH} lists and maps");
        return Err(Malformed { at: span.start, reason });
    }
    Ok((root, edits))
}

/// The text with its spans, which are in order, replaced; `None` where two of them overlap.
fn splice(text: &str, edits: &[(Range<usize>, Zeroizing<String>)]) -> Option<Zeroizing<String>> {
    // Reserved whole: growing would leave copies of values behind.
    let added: usize = edits.iter().map(|(_, by)| by.len()).sum();
    let mut rendered = Zeroizing::new(String::with_capacity(text.len() + added));
    let mut done = 0;
    for (span, by) in edits {
        rendered.push_str(text.get(done..span.start)?);
        rendered.push_str(by);
        done = span.end;
    }
    rendered.push_str(text.get(done..)?);
    Some(rendered)
}

/// The line and column, from 1, of a byte.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
