//! Finds the expressions and credentials of a document and parses them.
//!
//! An expression is a string that begins with [`MARK`]. A credential is the `secret_name` of a map that also has `tool`.
//! All problems are collected, up to a bound, before the document is refused.

use std::collections::BTreeMap;

use super::budget::Bound;
use super::grammar::Expr;
use super::parse::{MARK, Parser};
use super::pointer::Path;
use super::problem::Problems;
use super::{Data, Pointer, Problem, ProblemKind};
use crate::domain::SecretName;

/// A document in which each expression is parsed.
pub(super) enum Node {
    /// A part without any expression or credential, kept whole.
    Plain(Data),
    Expression(Expr),
    List(Vec<Node>),
    Map {
        fields: Vec<(String, Node)>,
        credential: Option<SecretName>,
    },
}

/// A parsed document.
pub(super) struct ParsedDocument {
    pub(super) root: Node,
    /// Each secret that the document names, with the places that name it, in the order of the document.
    pub(super) references: BTreeMap<SecretName, Vec<Pointer>>,
    /// Whether any expression uses `inputs`.
    pub(super) uses_inputs: bool,
}

/// Parses a document. The error has the problems of all its expressions and credentials, up to a bound.
pub(super) fn parse_document(document: Data) -> Result<ParsedDocument, Vec<Problem>> {
    // Before anything recursive looks at the document.
    if !document.is_within_depth(Bound::Depth.limit()) {
        document.drop_without_recursion();
        let kind = ProblemKind::TooCostly(Bound::Depth);
        return Err(vec![Problem { place: Pointer::root(), kind }]);
    }
    let mut parser = DocumentParser {
        path: Path::default(),
        parser: Parser::new(),
        expressions: 0,
        references: BTreeMap::new(),
        problems: Problems::default(),
    };
    let root = parser.node(document);
    parser.problems.into_result()?;
    Ok(ParsedDocument { root, references: parser.references, uses_inputs: parser.parser.uses_inputs })
}

struct DocumentParser {
    path: Path,
    parser: Parser,
    /// How many expressions and credentials there were so far.
    expressions: usize,
    references: BTreeMap<SecretName, Vec<Pointer>>,
    problems: Problems,
}

impl DocumentParser {
    fn node(&mut self, data: Data) -> Node {
        match data {
            _ if self.problems.are_enough() => Node::Plain(Data::Null),
            Data::Text(text) if text.starts_with(MARK) => self.expression(&text),
            Data::List(items) => self.list(items),
            Data::Map(fields) => self.map(fields),
            plain => Node::Plain(plain),
        }
    }

    fn expression(&mut self, text: &str) -> Node {
        match self.count().and_then(|()| self.parser.parse(text)) {
            Ok(expr) => {
                let place = self.path.pointer();
                for name in std::mem::take(&mut self.parser.names) {
                    self.references.entry(name).or_default().push(place.clone());
                }
                Node::Expression(expr)
            }
            Err(kind) => {
                self.problems.add(&self.path, kind);
                Node::Plain(Data::Null)
            }
        }
    }

    /// Counts an expression or a credential, and checks that its place can be pointed at.
    fn count(&mut self) -> Result<(), ProblemKind> {
        self.expressions += 1;
        if self.expressions > Bound::Expressions.limit() {
            return Err(ProblemKind::TooCostly(Bound::Expressions));
        }
        if self.path.is_too_long() {
            return Err(ProblemKind::TooCostly(Bound::Pointer));
        }
        Ok(())
    }

    fn list(&mut self, items: Vec<Data>) -> Node {
        let mut nodes = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            self.path.enter_item(index);
            nodes.push(self.node(item));
            self.path.leave();
        }
        if nodes.iter().all(Node::is_plain) {
            return Node::Plain(Data::List(nodes.into_iter().filter_map(Node::into_plain).collect()));
        }
        Node::List(nodes)
    }

    fn map(&mut self, fields: Vec<(String, Data)>) -> Node {
        let has_tool = fields.iter().any(|(key, _)| key == "tool");
        let mut credential = None;
        let mut nodes = Vec::with_capacity(fields.len());
        for (key, value) in fields {
            self.path.enter_field(&key);
            let node = if has_tool && key == "secret_name" {
                credential = self.credential(&value);
                Node::Plain(value)
            } else {
                self.node(value)
            };
            self.path.leave();
            nodes.push((key, node));
        }
        if credential.is_none() && nodes.iter().all(|(_, node)| node.is_plain()) {
            let plain = nodes.into_iter().filter_map(|(key, node)| node.into_plain().map(|data| (key, data)));
            return Node::Plain(Data::Map(plain.collect()));
        }
        Node::Map { fields: nodes, credential }
    }

    /// The secret that a `secret_name` names. Null means that there is none, since programs write null for an empty field.
    fn credential(&mut self, value: &Data) -> Option<SecretName> {
        let name = match value {
            Data::Null => return None,
            Data::Text(text) if text.starts_with(MARK) => Err(ProblemKind::unsupported(
                "an expression as a `secret_name`",
                "Write the name of the secret itself: its value is returned as a credential.",
            )),
            Data::Text(text) => SecretName::parse(text).map_err(|_| ProblemKind::NotASecretName),
            _ => Err(ProblemKind::NotASecretName),
        };
        match self.count().and(name) {
            Ok(name) => {
                self.references.entry(name.clone()).or_default().push(self.path.pointer());
                Some(name)
            }
            Err(kind) => {
                self.problems.add(&self.path, kind);
                None
            }
        }
    }
}

impl Node {
    fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    fn into_plain(self) -> Option<Data> {
        match self {
            Self::Plain(data) => Some(data),
            _ => None,
        }
    }
}
