use std::collections::BTreeMap;

use super::secret::Found;
use super::{App, Error};
use crate::auth::{Grant, List, Read};
use crate::domain::{Namespace, Revision, SecretName, Value, VersionState};
use crate::process::wiping_stack;
use crate::reference::{
    Bound, Data, Pointer, Problem, ProblemKind, Reference, Resolved, SecretLookup, Template,
};

/// More than a computation uses of the stack, where the library's functions on texts leave pieces of them.
const STACK: usize = 256 * 1024;

/// A document with its references resolved.
pub struct Resolution {
    /// The document and its credentials.
    pub resolved: Resolved,
    /// The secrets that it names.
    pub named: Vec<NamedSecret>,
    /// The store's revision that they were read at.
    pub revision: Revision,
}

/// A secret that a document names.
pub struct NamedSecret {
    /// Its name, and the places that name it.
    pub reference: Reference,
    /// Its current version; `None` where there is no such secret.
    pub version: Option<u32>,
    /// Whether there is a value to read: its current version is enabled.
    pub has_value: bool,
}

/// How large the values of all secrets of a document may be together, in bytes.
const MOST_BYTES: usize = 8 << 20;

impl App {
    /// A document with its expressions parsed.
    pub async fn parse_template(&self, namespace: &Namespace, document: Data) -> Result<Template, Error> {
        let parsed = self.compute(|| Template::parse(document)).await?;
        parsed.map_err(|problems| Error::Unresolved(namespace.clone(), problems))
    }

    /// The document with its references resolved. All secrets are read at one moment, and only those that the document
    /// names; `read` is told which these are, whatever comes of the document.
    pub async fn resolve(
        &self,
        grant: &Grant<Read>,
        template: Template,
        inputs: Data,
        read: impl FnOnce(&[NamedSecret]),
    ) -> Result<Resolution, Error> {
        let unresolved = |problems| Error::Unresolved(grant.namespace().clone(), problems);
        let references = template.references();
        let names: Vec<_> = references.iter().map(|reference| reference.name.clone()).collect();
        for name in &names {
            grant.principal().authorize_secret::<Read>(grant.namespace(), name)?;
        }
        let Some((found, revision)) = self.read_at_once(grant, &names, MOST_BYTES).await? else {
            let kind = ProblemKind::TooCostly(Bound::Built);
            return Err(unresolved(vec![Problem { place: Pointer::root(), kind }]));
        };
        let (mut values, mut named) = (Values::default(), Vec::with_capacity(references.len()));
        for (reference, found) in references.into_iter().zip(found) {
            let name = reference.name.clone();
            let (version, value) = match found {
                Found::Value(secret, value) => (Some(secret.version), Ok(data(value))),
                Found::Disabled(secret) => {
                    (Some(secret.version), Err(ProblemKind::VersionDisabled(name.clone(), secret.version)))
                }
                Found::Destroyed(secret) => {
                    (Some(secret.version), Err(ProblemKind::VersionDestroyed(name.clone(), secret.version)))
                }
                Found::Nothing => (None, Err(ProblemKind::MissingSecret(name.clone()))),
            };
            named.push(NamedSecret { reference, version, has_value: value.is_ok() });
            values.0.insert(name, value);
        }
        read(&named);
        let resolved =
            self.compute(move || template.evaluate(&inputs, &values)).await?.map_err(unresolved)?;
        Ok(Resolution { resolved, named, revision })
    }

    /// The secrets that a document names. Reads no value.
    pub async fn inspect(
        &self,
        grant: &Grant<List>,
        template: &Template,
    ) -> Result<(Vec<NamedSecret>, Revision), Error> {
        let references = template.references();
        let names: Vec<_> = references.iter().map(|reference| reference.name.clone()).collect();
        let before = self.catalog.revision();
        let there = self.catalog.namespace(grant.namespace());
        let (secrets, revision) = match &there {
            Some(there) => there.secrets(&names, before),
            None => (Vec::new(), before),
        };
        let mut found = secrets.into_iter();
        let mut named = Vec::with_capacity(names.len());
        for reference in references {
            let secret = found.next().flatten();
            if secret.is_none() {
                self.refuse_damage(grant.namespace(), &reference.name).await?;
            }
            let current = secret.as_ref().and_then(|secret| secret.versions.find(secret.version));
            let has_value = current.is_some_and(|current| current.state == VersionState::Enabled);
            let version = secret.map(|secret| secret.version);
            named.push(NamedSecret { reference, version, has_value });
        }
        Ok((named, revision))
    }

    /// Computes away from the threads that answer requests, and for few requests at a time: a document can take a good
    /// part of a second.
    async fn compute<T: Send + 'static>(
        &self,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        const FAILED: Error = Error::Internal("a document could not be computed");
        let _turn = self.computing.acquire().await.map_err(|_| FAILED)?;
        tokio::task::spawn_blocking(|| wiping_stack::<STACK, _>(compute)).await.map_err(|_| FAILED)
    }
}

/// The values that expressions see, or why they see none.
#[derive(Default)]
struct Values(BTreeMap<SecretName, Result<Data, ProblemKind>>);

impl SecretLookup for Values {
    fn value(&self, name: &SecretName) -> Result<Data, ProblemKind> {
        match self.0.get(name) {
            Some(Ok(data)) => Ok(data.copy()),
            Some(Err(why)) => Err(why.clone()),
            None => Err(ProblemKind::MissingSecret(name.clone())),
        }
    }
}

/// A value as expressions see it. Moved, not copied.
fn data(value: Value) -> Data {
    match value {
        Value::Text(text) => Data::Text(text),
        Value::Binary(bytes) => Data::Bytes(bytes),
    }
}
