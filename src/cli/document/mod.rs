//! Documents with references, for `inject`: finds the references, makes the request for the service, and puts the values in.
//!
//! Only the bytes of references are replaced; all other bytes stay. So order, comments, and types that the wire does not
//! have (TOML's times, integers beyond 2^53, YAML's keys) cannot change. The service receives the references and the shape
//! around them, and nothing else of the document. Before the result is written, it is read again and compared.

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

/// The format of a document.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A reference is a string that begins with '$ '
    Json,
    /// A reference is a string that begins with '$ '
    Yaml,
    /// A reference is a string that begins with '$ '
    Toml,
    /// Lines of NAME=VALUE; a reference is a value that begins with '$ '
    Env,
    /// Any text in UTF-8; a reference stands between '{{' and '}}', and '{{{{' is a literal '{{'
    Text,
}

impl Format {
    /// The format that the file's name means; `None` if it means none. The endings of templates do not count.
    pub(super) fn named(path: &Path) -> Option<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let mut name = name.as_str();
        while let Some((rest, ending)) = name.rsplit_once('.')
            && TEMPLATES.contains(&ending)
            && !rest.is_empty()
        {
            name = rest;
        }
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("json" | "jsonc") => Some(Self::Json),
            Some("yaml" | "yml") => Some(Self::Yaml),
            Some("toml") => Some(Self::Toml),
            Some("env" | "envrc") => Some(Self::Env),
            _ if name.starts_with(".env.") => Some(Self::Env), // such as .env.production
            Some("txt" | "conf" | "ini" | "cfg" | "properties" | "xml" | "sh") => Some(Self::Text),
            _ => None,
        }
    }
}

/// The endings that a template has behind the ending of its format.
const TEMPLATES: [&str; 12] =
    ["dist", "erb", "example", "gotmpl", "in", "j2", "jinja", "jinja2", "sample", "template", "tmpl", "tpl"];

/// A parsed document.
pub(super) struct Document {
    format: Format,
    text: Zeroizing<String>,
    root: Node,
    /// Replacements that do not depend on the service: escapes.
    edits: Vec<(Range<usize>, &'static str)>,
}

/// A syntax error: its place in bytes, and the reason.
pub(super) struct Malformed {
    at: usize,
    reason: String,
}

/// The member of the request that holds a document which is not a map: the wire only has maps on top.
const WRAPPER: &str = "document";

/// The deepest nesting that is read: deeper than documents are, and far from the end of the stack.
const MAX_DEPTH: usize = 100;

/// The deepest nesting of a reference, in lists and maps. Readers of protobuf allow 100 nested messages, and a map has
/// three.
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

    /// Whether any reference was found.
    pub(super) fn has_references(&self) -> bool {
        self.root.skeleton().is_some()
    }

    /// Whether the text has braces as a template has them, in a format in which they mean nothing.
    pub(super) fn has_braces(&self) -> bool {
        self.format != Format::Text && self.text.contains("{{")
    }

    /// What was looked for.
    pub(super) fn looked_for(&self) -> &'static str {
        match self.format {
            Format::Json => "JSON: a string that begins with '$ '",
            Format::Yaml => "YAML: a string that begins with '$ '",
            Format::Toml => "TOML: a string that begins with '$ '",
            Format::Env => "dotenv: a value that begins with '$ '",
            Format::Text => "text: an expression between '{{' and '}}'",
        }
    }

    /// The service's reason, for a text. Its references have no '$ ' in front, which the service counts and speaks of.
    pub(super) fn reason_here(&self, reason: &str) -> Option<String> {
        if self.format != Format::Text {
            return None;
        }
        let (reason, _) = reason.split_once(" If it is plain text,").unwrap_or((reason, ""));
        let Some((before, number)) = reason.split_once("near character ") else {
            return Some(reason.to_owned());
        };
        let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        let (number, after) = number.split_at(digits);
        let at = number.parse::<usize>().ok()?.saturating_sub(2).max(1);
        Some(format!("{before}near character {at} of the expression{after}"))
    }

    /// The part of the document that the service receives: the references and the shape around them.
    pub(super) fn skeleton(&self) -> Struct {
        let value = self.root.skeleton();
        match (&self.root, value.and_then(|value| value.kind)) {
            (_, None) => Struct::default(),
            (Node::Map(_), Some(prost_types::value::Kind::StructValue(document))) => document,
            (_, kind) => Struct { fields: [(WRAPPER.to_owned(), Value { kind })].into() },
        }
    }

    /// The line and column, from 1, of the string that a JSON Pointer of the service names.
    pub(super) fn position(&self, pointer: &str) -> Option<(usize, usize)> {
        let pointer = if self.is_wrapped() { pointer.strip_prefix("/document")? } else { pointer };
        match self.root.at(pointer)? {
            Node::Text { span, .. } => Some(position(&self.text, span.start)),
            Node::Other | Node::List(_) | Node::Map(_) => None,
        }
    }

    /// The same place as a JSON Pointer into this document; `None` if its format has no pointers.
    pub(super) fn own_pointer<'p>(&self, pointer: &'p str) -> Option<&'p str> {
        match self.format {
            Format::Text => None,
            _ if self.is_wrapped() => pointer.strip_prefix("/document"),
            _ => Some(pointer),
        }
    }

    /// The text with every reference replaced by its resolved value.
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
            let value = value.ok_or_else(|| failed("the service sent no value for this reference"))?;
            edits.push((span.clone(), literal::write(self.format, value).map_err(failed)?));
        }
        edits.sort_by_key(|(span, _)| span.start);
        let rendered = splice(&self.text, &edits).ok_or("its references overlap")?;
        // The values of a template may have braces of their own. Every other format is read again and compared.
        let good = self.format == Format::Text
            || parse(&rendered, self.format)
                .is_ok_and(|(root, _)| self.root.resolves_to(&root, resolved.as_ref()));
        if good {
            Ok(rendered)
        } else {
            Err("the value of a reference cannot be written at its place: write the reference as a quoted string on a line of its own"
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
        let reason = format!("this reference is nested in more than {MAX_REFERENCE_DEPTH} lists and maps");
        return Err(Malformed { at: span.start, reason });
    }
    Ok((root, edits))
}

/// The text with the spans replaced, which must be in order; `None` if two of them overlap.
fn splice(text: &str, edits: &[(Range<usize>, Zeroizing<String>)]) -> Option<Zeroizing<String>> {
    // All of the length is reserved now, because growing would leave copies of values in memory.
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
    // A file with CR alone has no LF.
    let end = if text.contains('\n') { '\n' } else { '\r' };
    let line = before.matches(end).count() + 1;
    let column = before.rsplit(end).next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
