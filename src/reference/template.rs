use std::collections::BTreeMap;

use super::budget::Bound;
use super::read::{Node, Read, read};
use super::resolve::resolve;
use super::{Data, Pointer, Problem, ProblemKind, Secrets};
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

impl Template {
    /// Parses the expressions of a document. Where any is not one, the problems of all of them, at most 32.
    pub fn parse(document: Data) -> Result<Self, Vec<Problem>> {
        let Read { root, references, uses_inputs } = read(document)?;
        bound_references(&references)?;
        Ok(Self { root, references, uses_inputs })
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
        resolve(&self.root, self.uses_inputs, inputs, secrets)
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
