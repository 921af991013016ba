use std::collections::BTreeMap;

use super::budget::{Bound, Budget};
use super::evaluate::Evaluator;
use super::grammar::Expr;
use super::parse::{MARK, Parser};
use super::pointer::Path;
use super::{Data, Pointer, Problem, ProblemKind, Secrets, data::MAX_EXACT};
use crate::domain::SecretName;

/// A document whose expressions are parsed.
pub struct Template {
    root: Node,
    references: BTreeMap<SecretName, Vec<Pointer>>,
    uses_inputs: bool,
}

/// A secret that a document names, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The secret's name.
    pub name: SecretName,
    /// The strings that name it, in the order of the document, each once.
    pub places: Vec<Pointer>,
}

/// A document that is resolved.
pub struct Resolved {
    /// The document, with a value in the place of each expression.
    pub document: Data,
    /// What `secret_name` beside `tool` names, in the order of the document.
    pub credentials: Vec<Credential>,
}

/// The secret that a step uses as its credential.
pub struct Credential {
    /// The step: the map that has `tool` and `secret_name`.
    pub place: Pointer,
    /// The secret's name.
    pub name: SecretName,
    /// Its value, a text or bytes.
    pub value: Data,
}

/// How many problems are told at once.
const MAX_PROBLEMS: usize = 32;

/// A document, in which each expression is parsed and what has none is kept whole.
enum Node {
    Plain(Data),
    Expression(Expr),
    List(Vec<Node>),
    Map { fields: Vec<(String, Node)>, credential: Option<SecretName> },
}

impl Template {
    /// Parses the expressions of a document. Where any is not one, the problems of all of them, at most 32.
    pub fn parse(document: Data) -> Result<Self, Vec<Problem>> {
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
        let Reader { parser, references, .. } = reader;
        bound_references(&references)?;
        Ok(Self { root, references, uses_inputs: parser.uses_inputs })
    }

    /// The secrets that the document names, at most 1,000, ordered by name: those in expressions, whether or not an evaluation reaches
    /// them, and those in `secret_name` beside `tool`.
    pub fn references(&self) -> Vec<Reference> {
        let each = self.references.iter();
        each.map(|(name, places)| Reference { name: name.clone(), places: places.clone() }).collect()
    }

    /// The document with every expression replaced by its value, and the credentials. `inputs` is a map: its `input` is
    /// what expressions see as `input` and `_`, the rest of it is their `inputs`.
    ///
    /// All of it, or else the problems, at most 32; where credentials are missing only these, and no expression is
    /// evaluated.
    pub fn evaluate(&self, inputs: &Data, secrets: &dyn Secrets) -> Result<Resolved, Vec<Problem>> {
        if !inputs.within(Bound::Depth.limit()) {
            let kind = ProblemKind::TooCostly(Bound::Depth);
            return Err(vec![Problem { place: Pointer::root(), kind }]);
        }
        let mut budget = Budget::new();
        let mut collector = Collector {
            path: Path::default(),
            secrets,
            credentials: Vec::new(),
            problems: Problems::default(),
        };
        collector.node(&self.root, &mut budget);
        collector.problems.none()?;
        let others = match inputs {
            Data::Map(fields) if self.uses_inputs => {
                let others = fields.iter().filter(|(key, _)| key != "input");
                Data::Map(others.map(|(key, value)| (key.clone(), value.copy())).collect())
            }
            _ => Data::Map(Vec::new()),
        };
        let mut resolver = Resolver {
            path: Path::default(),
            input: inputs.field("input"),
            inputs: &others,
            secrets,
            budget,
            problems: Problems::default(),
        };
        let document = resolver.node(&self.root, None);
        resolver.problems.none()?;
        Ok(Resolved { document, credentials: collector.credentials })
    }
}

/// Replies repeat the name and the places of every reference, so these are bounded beside what the document itself costs.
fn bound_references(references: &BTreeMap<SecretName, Vec<Pointer>>) -> Result<(), Vec<Problem>> {
    let bytes: usize = references
        .iter()
        .map(|(name, places)| {
            let places: usize = places.iter().map(|place| place.as_str().len() + 8).sum();
            name.as_str().len() + places
        })
        .sum();
    let exceeded = if references.len() > Bound::Secrets.limit() {
        Bound::Secrets
    } else if bytes > Bound::Places.limit() {
        Bound::Places
    } else {
        return Ok(());
    };
    Err(vec![Problem { place: Pointer::root(), kind: ProblemKind::TooCostly(exceeded) }])
}

/// The problems found so far.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: &Path, kind: ProblemKind) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(Problem { place: path.pointer(), kind });
        }
    }

    /// Whether there is no point in looking further: enough has been found, or all that could be spent is.
    fn are_enough(&self) -> bool {
        let spent = |problem: &Problem| {
            matches!(
                problem.kind,
                ProblemKind::TooCostly(
                    Bound::Expressions | Bound::Parts | Bound::Steps | Bound::Built | Bound::Output
                )
            )
        };
        self.0.len() >= MAX_PROBLEMS || self.0.last().is_some_and(spent)
    }

    fn none(&mut self) -> Result<(), Vec<Problem>> {
        if self.0.is_empty() { Ok(()) } else { Err(std::mem::take(&mut self.0)) }
    }
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

/// Gathers the credentials.
struct Collector<'a> {
    path: Path,
    secrets: &'a dyn Secrets,
    credentials: Vec<Credential>,
    problems: Problems,
}

impl Collector<'_> {
    fn node(&mut self, node: &Node, budget: &mut Budget) {
        match node {
            Node::Plain(_) | Node::Expression(_) => {}
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.path.enter_item(index);
                    self.node(item, budget);
                    self.path.leave();
                }
            }
            Node::Map { fields, credential } => {
                if let Some(name) = credential {
                    self.credential(name, budget);
                }
                for (key, value) in fields {
                    self.path.enter_field(key);
                    self.node(value, budget);
                    self.path.leave();
                }
            }
        }
    }

    fn credential(&mut self, name: &SecretName, budget: &mut Budget) {
        if self.problems.are_enough() {
            return;
        }
        let found = self.secrets.value(name).ok_or_else(|| ProblemKind::MissingSecret(name.clone()));
        match found.and_then(|value| budget.output(value.size()).map(|()| value)) {
            Ok(value) => {
                self.credentials.push(Credential { place: self.path.pointer(), name: name.clone(), value });
            }
            Err(kind) => {
                self.path.enter_field("secret_name");
                self.problems.add(&self.path, kind);
                self.path.leave();
            }
        }
    }
}

/// Evaluates the expressions and builds the resolved document.
struct Resolver<'a> {
    path: Path,
    input: Option<&'a Data>,
    inputs: &'a Data,
    secrets: &'a dyn Secrets,
    budget: Budget,
    problems: Problems,
}

impl<'a> Resolver<'a> {
    /// `beside` is the `input` that stands in the same map.
    fn node(&mut self, node: &'a Node, beside: Option<&'a Data>) -> Data {
        match node {
            _ if self.problems.are_enough() => Data::Null,
            Node::Plain(data) => data.copy(),
            Node::Expression(expr) => self.expression(expr, beside).unwrap_or_else(|kind| {
                self.problems.add(&self.path, kind);
                Data::Null
            }),
            Node::List(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    self.path.enter_item(index);
                    resolved.push(self.node(item, None));
                    self.path.leave();
                }
                Data::List(resolved)
            }
            Node::Map { fields, .. } => {
                let beside = fields.iter().find_map(|(key, node)| match node {
                    Node::Plain(data) if key == "input" => Some(data),
                    _ => None,
                });
                let mut resolved = Vec::with_capacity(fields.len());
                for (key, value) in fields {
                    self.path.enter_field(key);
                    resolved.push((key.clone(), self.node(value, beside)));
                    self.path.leave();
                }
                Data::Map(resolved)
            }
        }
    }

    fn expression(&mut self, expr: &'a Expr, beside: Option<&'a Data>) -> Result<Data, ProblemKind> {
        let mut evaluator = Evaluator {
            input: self.input.or(beside),
            inputs: self.inputs,
            secrets: self.secrets,
            budget: &mut self.budget,
        };
        let data = evaluator.evaluate(expr)?;
        if !data.within(Bound::Depth.limit().saturating_sub(self.path.depth())) {
            return Err(ProblemKind::TooCostly(Bound::Depth));
        }
        returnable(&data)?;
        self.budget.output(data.size())?;
        Ok(data)
    }
}

/// Refuses what the reply can not hold, or not exactly: it is JSON, whose numbers are doubles.
fn returnable(data: &Data) -> Result<(), ProblemKind> {
    match data {
        Data::Bytes(_) => Err(ProblemKind::Binary),
        Data::Int(int) if int.unsigned_abs() > MAX_EXACT => Err(ProblemKind::Value(
            "The result is a whole number beyond 2**53, which JSON's numbers do not hold exactly: return it as a text \
             with str(...).",
        )),
        Data::Float(float) if !float.is_finite() => {
            Err(ProblemKind::Value("The result is not a finite number, and JSON has no other."))
        }
        Data::Null | Data::Bool(_) | Data::Int(_) | Data::Float(_) | Data::Text(_) => Ok(()),
        Data::List(items) => items.iter().try_for_each(returnable),
        Data::Map(fields) => fields.iter().try_for_each(|(_, value)| returnable(value)),
    }
}
