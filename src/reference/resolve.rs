//! Resolves a parsed document: collects its credentials, and puts the value of each expression in its place.
//!
//! The result is the whole document or nothing of it. Where a credential is missing, no expression is evaluated.

use super::budget::{Bound, Budget};
use super::document::Node;
use super::evaluate::Evaluator;
use super::grammar::Expr;
use super::pointer::Path;
use super::problem::Problems;
use super::template::{Credential, Resolved};
use super::{Data, Pointer, Problem, ProblemKind, SecretLookup, data::MAX_EXACT};
use crate::domain::SecretName;

/// Resolves a document. `inputs` is a map: its `input` is what expressions see as `input` and `_`, and the rest is what they
/// see as `inputs`. `uses_inputs` says whether any expression uses that rest.
pub(super) fn resolve(
    root: &Node,
    uses_inputs: bool,
    inputs: &Data,
    secrets: &dyn SecretLookup,
) -> Result<Resolved, Vec<Problem>> {
    if !inputs.is_within_depth(Bound::Depth.limit()) {
        let kind = ProblemKind::TooCostly(Bound::Depth);
        return Err(vec![Problem { place: Pointer::root(), kind }]);
    }
    let mut budget = Budget::new();
    let mut collector = CredentialCollector {
        path: Path::default(),
        secrets,
        credentials: Vec::new(),
        problems: Problems::default(),
    };
    collector.node(root, &mut budget);
    collector.problems.into_result()?;
    let others = match inputs {
        Data::Map(fields) if uses_inputs => {
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
    let document = resolver.node(root, None);
    resolver.problems.into_result()?;
    Ok(Resolved { document, credentials: collector.credentials })
}

/// Collects the credentials of a document, with their values.
struct CredentialCollector<'a> {
    path: Path,
    secrets: &'a dyn SecretLookup,
    credentials: Vec<Credential>,
    problems: Problems,
}

impl CredentialCollector<'_> {
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
        match self.secrets.value(name).and_then(|value| budget.charge_output(value.size()).map(|()| value)) {
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

/// Evaluates the expressions, and builds the resolved document.
struct Resolver<'a> {
    path: Path,
    input: Option<&'a Data>,
    inputs: &'a Data,
    secrets: &'a dyn SecretLookup,
    budget: Budget,
    problems: Problems,
}

impl<'a> Resolver<'a> {
    /// `sibling` is the `input` in the same map: the input of the expression where the request has none.
    fn node(&mut self, node: &'a Node, sibling: Option<&'a Data>) -> Data {
        match node {
            _ if self.problems.are_enough() => Data::Null,
            Node::Plain(data) => data.copy(),
            Node::Expression(expr) => self.expression(expr, sibling).unwrap_or_else(|kind| {
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
                let sibling = fields.iter().find_map(|(key, node)| match node {
                    Node::Plain(data) if key == "input" => Some(data),
                    _ => None,
                });
                let mut resolved = Vec::with_capacity(fields.len());
                for (key, value) in fields {
                    self.path.enter_field(key);
                    resolved.push((key.clone(), self.node(value, sibling)));
                    self.path.leave();
                }
                Data::Map(resolved)
            }
        }
    }

    fn expression(&mut self, expr: &'a Expr, sibling: Option<&'a Data>) -> Result<Data, ProblemKind> {
        let mut evaluator = Evaluator {
            input: self.input.or(sibling),
            inputs: self.inputs,
            secrets: self.secrets,
            budget: &mut self.budget,
        };
        let data = evaluator.evaluate(expr)?;
        if !data.is_within_depth(Bound::Depth.limit().saturating_sub(self.path.depth())) {
            return Err(ProblemKind::TooCostly(Bound::Depth));
        }
        check_returnable(&data)?;
        self.budget.charge_output(data.size())?;
        Ok(data)
    }
}

/// Refuses a value that the reply cannot hold exactly: the reply is JSON, and its numbers are doubles.
fn check_returnable(data: &Data) -> Result<(), ProblemKind> {
    match data {
        Data::Bytes(_) => Err(ProblemKind::Binary),
        Data::Int(int) if int.unsigned_abs() > MAX_EXACT => Err(ProblemKind::Value(
            "The result is a whole number beyond 2**53, which a JSON number cannot hold exactly: return it as a text with \
             str(...).",
        )),
        Data::Float(float) if !float.is_finite() => Err(ProblemKind::Value(
            "The result is not a finite number, and JSON has only finite ones: check the inputs.",
        )),
        Data::Null | Data::Bool(_) | Data::Int(_) | Data::Float(_) | Data::Text(_) => Ok(()),
        Data::List(items) => items.iter().try_for_each(check_returnable),
        Data::Map(fields) => fields.iter().try_for_each(|(_, value)| check_returnable(value)),
    }
}
