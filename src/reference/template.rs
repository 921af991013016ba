//! The entrance of this module: a document is parsed once, and then evaluated with inputs and secrets.

use std::collections::BTreeMap;

use super::budget::Bound;
use super::document::{Node, ParsedDocument, parse_document};
use super::resolve::resolve;
use super::{Data, Pointer, Problem, ProblemKind, SecretLookup};
use crate::domain::SecretName;

/// A document with its expressions parsed.
pub struct Template {
    root: Node,
    references: BTreeMap<SecretName, Vec<Pointer>>,
    uses_inputs: bool,
}

/// A secret that a document names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The secret's name.
    pub name: SecretName,
    /// The strings that name the secret, in the order of the document, each once.
    pub places: Vec<Pointer>,
}

/// A resolved document.
pub struct Resolved {
    /// The document, with each expression replaced by its value.
    pub document: Data,
    /// The secrets named by `secret_name` beside `tool`, in the order of the document.
    pub credentials: Vec<Credential>,
}

/// A secret that a map of the document uses as its credential.
pub struct Credential {
    /// The map that has `tool` and `secret_name`.
    pub place: Pointer,
    /// The secret's name.
    pub name: SecretName,
    /// Its value: [`Data::Text`] or [`Data::Bytes`].
    pub value: Data,
}

impl Template {
    /// Parses the expressions of a document. The error has the problems of the whole document, at most 32.
    pub fn parse(document: Data) -> Result<Self, Vec<Problem>> {
        let ParsedDocument { root, references, uses_inputs } = parse_document(document)?;
        check_references(&references)?;
        Ok(Self { root, references, uses_inputs })
    }

    /// The secrets that the document names, at most 1,000, ordered by name: those in expressions, whether or not the
    /// evaluation reaches them, and those in `secret_name` beside `tool`.
    pub fn references(&self) -> Vec<Reference> {
        let each = self.references.iter();
        each.map(|(name, places)| Reference { name: name.clone(), places: places.clone() }).collect()
    }

    /// The document with every expression replaced by its value, and the credentials. `inputs` is a map: its `input` is
    /// what expressions see as `input` and `_`, and the rest is what they see as `inputs`.
    ///
    /// The error has the problems of the whole document, at most 32. Where credentials are missing it has only these, and no
    /// expression is evaluated.
    pub fn evaluate(&self, inputs: &Data, secrets: &dyn SecretLookup) -> Result<Resolved, Vec<Problem>> {
        resolve(&self.root, self.uses_inputs, inputs, secrets)
    }
}

/// Bounds the references. A reply repeats the name and the places of each one, so that a small document could have a large
/// reply.
fn check_references(references: &BTreeMap<SecretName, Vec<Pointer>>) -> Result<(), Vec<Problem>> {
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
