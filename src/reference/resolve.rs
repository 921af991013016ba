use super::budget::{Bound, Budget};
use super::evaluate::Evaluator;
use super::grammar::Expr;
use super::pointer::Path;
use super::problem::Problems;
use super::read::Node;
use super::template::{Credential, Resolved};
use super::{Data, Pointer, Problem, ProblemKind, Secrets, data::MAX_EXACT};
use crate::domain::SecretName;

/// Resolves a document that was read: first its credentials, then its expressions.
pub(super) fn resolve(
    root: &Node,
    uses_inputs: bool,
    inputs: &Data,
    secrets: &dyn Secrets,
) -> Result<Resolved, Vec<Problem>> {
    if !inputs.within(Bound::Depth.limit()) {
        let kind = ProblemKind::TooCostly(Bound::Depth);
        return Err(vec![Problem { place: Pointer::root(), kind }]);
    }
    let mut budget = Budget::new();
    let mut collector =
        Collector { path: Path::default(), secrets, credentials: Vec::new(), problems: Problems::default() };
    collector.node(root, &mut budget);
    collector.problems.none()?;
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
    resolver.problems.none()?;
    Ok(Resolved { document, credentials: collector.credentials })
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
        match self.secrets.value(name).and_then(|value| budget.output(value.size()).map(|()| value)) {
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
