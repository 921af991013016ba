use std::collections::BTreeMap;

use super::budget::Bound;
use super::grammar::Expr;
use super::parse::{MARK, Parser};
use super::pointer::Path;
use super::problem::Problems;
use super::{Data, Pointer, Problem, ProblemKind};
use crate::domain::SecretName;

/// A document, in which each expression is parsed and what has none is kept whole.
pub(super) enum Node {
    Plain(Data),
    Expression(Expr),
    List(Vec<Node>),
    Map { fields: Vec<(String, Node)>, credential: Option<SecretName> },
}

/// A document that was read.
pub(super) struct Read {
    pub(super) root: Node,
    pub(super) references: BTreeMap<SecretName, Vec<Pointer>>,
    /// Whether any expression uses `inputs`.
    pub(super) uses_inputs: bool,
}

/// Reads a document. Where any expression is not one, the problems of all of them, within their bound.
pub(super) fn read(document: Data) -> Result<Read, Vec<Problem>> {
    // Before anything recursive looks at it.
    if !document.within(Bound::Depth.limit()) {
        document.dismantle();
        let kind = ProblemKind::TooCostly(Bound::Depth);
        return Err(vec![Problem { place: Pointer::root(), kind }]);
    }
    let mut reader = Reader {
        path: Path::default(),
        parser: Parser::new(),
        expressions: 0,
        references: BTreeMap::new(),
        problems: Problems::default(),
    };
    let root = reader.node(document);
    reader.problems.none()?;
    Ok(Read { root, references: reader.references, uses_inputs: reader.parser.uses_inputs })
}

/// Finds the expressions and parses them.
struct Reader {
    path: Path,
    parser: Parser,
    expressions: usize,
    references: BTreeMap<SecretName, Vec<Pointer>>,
    problems: Problems,
}

impl Reader {
    fn node(&mut self, data: Data) -> Node {
        match data {
            _ if self.problems.are_enough() => Node::Plain(Data::Null),
            Data::Text(text) if text.starts_with(MARK) => {
                match self.counted().and_then(|()| self.parser.parse(&text)) {
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
            Data::List(items) => self.list(items),
            Data::Map(fields) => self.map(fields),
            plain => Node::Plain(plain),
        }
    }

    /// Counts an expression or a credential.
    fn counted(&mut self) -> Result<(), ProblemKind> {
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
            return Node::Plain(Data::List(nodes.into_iter().filter_map(Node::plain).collect()));
        }
        Node::List(nodes)
    }

    fn map(&mut self, fields: Vec<(String, Data)>) -> Node {
        let is_step = fields.iter().any(|(key, _)| key == "tool");
        let mut credential = None;
        let mut nodes = Vec::with_capacity(fields.len());
        for (key, value) in fields {
            self.path.enter_field(&key);
            let node = if is_step && key == "secret_name" {
                credential = self.credential(&value);
                Node::Plain(value)
            } else {
                self.node(value)
            };
            self.path.leave();
            nodes.push((key, node));
        }
        if credential.is_none() && nodes.iter().all(|(_, node)| node.is_plain()) {
            let plain = nodes.into_iter().filter_map(|(key, node)| node.plain().map(|data| (key, data)));
            return Node::Plain(Data::Map(plain.collect()));
        }
        Node::Map { fields: nodes, credential }
    }

    /// The secret that `secret_name` names. Null is as good as nothing, as models write it for what is not set.
    fn credential(&mut self, value: &Data) -> Option<SecretName> {
        let named = match value {
            Data::Null => return None,
            Data::Text(text) if text.starts_with(MARK) => Err(ProblemKind::refused(
                "an expression as a `secret_name`",
                "Name the secret itself: its value is returned as a credential.",
            )),
            Data::Text(text) => SecretName::parse(text).map_err(|_| ProblemKind::NotASecretName),
            _ => Err(ProblemKind::NotASecretName),
        };
        match self.counted().and(named) {
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

    fn plain(self) -> Option<Data> {
        match self {
            Self::Plain(data) => Some(data),
            _ => None,
        }
    }
}
