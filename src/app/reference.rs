//! Documents with references to secrets: parse, inspect and resolve them.
//!
//! Only the secrets that a document names are read, all at one moment. Whether the caller may read a secret is checked for each
//! of them. The language of the references is in `crate::reference`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Error;
use super::commit::Core;
use super::secret::{CurrentValue, SecretReader};
use crate::auth::{Authorization, Grant, List, NamespaceGrant, Principal, PrincipalName, Read, RightType};
use crate::domain::{Revision, SecretName, Value, VersionState, now};
use crate::limits::{FairQueue, LimitReached, LimitUse, QueueFull, Turn};
use crate::process::wiping_stack;
use crate::reference::{
    Bound, Data, Pointer, Problem, ProblemKind, Reference, Resolved, SecretLookup, Template,
};

/// How many bytes of the stack are wiped after a computation: more than a computation uses. Functions of the standard library
/// leave pieces of their texts on the stack.
const STACK: usize = 256 * 1024;
/// How many bytes the values of all secrets of a document have together, at most.
const MAX_VALUE_BYTES: usize = 8 << 20;

/// Resolves references in documents.
pub struct ReferenceResolver {
    core: Arc<Core>,
    reader: SecretReader,
    /// The turns of documents that are computed: as many as there are processors.
    computing: Arc<FairQueue<PrincipalName>>,
    /// How many documents of one principal may wait for their turn.
    line: usize,
}

/// A document with its references resolved.
pub struct Resolution {
    /// The document and its credentials.
    pub resolved: Resolved,
    /// The secrets that the document names.
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
    /// Whether its current version is enabled, so that there is a value to read.
    pub has_value: bool,
}

impl ReferenceResolver {
    /// Of each principal, `line` documents may wait for their turn.
    pub(super) fn new(core: Arc<Core>, line: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let reader = SecretReader::new(core.clone());
        Self { core, reader, computing: FairQueue::new(processors, line), line }
    }

    /// How much of the lines of documents is used.
    pub(super) fn usage(&self) -> LimitUse {
        self.computing.usage("documents_per_principal")
    }

    /// The document with its expressions parsed.
    pub async fn parse_template<R: RightType>(
        &self,
        grant: &NamespaceGrant<R>,
        document: Data,
    ) -> Result<Template, Error> {
        let turn = self.turn(grant.principal()).await?;
        let parsed = compute(turn, || Template::parse(document)).await?;
        parsed.map_err(|problems| Error::Unresolved(grant.namespace().clone(), problems))
    }

    /// The document with its references resolved. The caller must have the right on each of the secrets, and its authorization
    /// notes so. `read` is told which secrets were read, whether or not the document can be resolved.
    pub async fn resolve(
        &self,
        authorization: &Authorization,
        grant: &NamespaceGrant<Read>,
        template: Template,
        inputs: Data,
        read: impl FnOnce(&[NamedSecret]),
    ) -> Result<Resolution, Error> {
        let unresolved = |problems| Error::Unresolved(grant.namespace().clone(), problems);
        let references = template.references();
        let grants = self.grants(authorization, grant, &references)?;
        // Values are read within the turn: so only as many documents as there are turns have values in memory.
        let turn = self.turn(grant.principal()).await?;
        let (found, revision) = self.reader.read_current(grant, &grants, MAX_VALUE_BYTES).await?;
        let (mut values, mut named) = (SecretValues::default(), Vec::with_capacity(references.len()));
        let mut opened = Vec::new();
        for (reference, current) in references.into_iter().zip(found) {
            let name = reference.name.clone();
            let (version, value) = match current {
                CurrentValue::Value(secret, value) => {
                    opened.push((secret.id, secret.version));
                    (Some(secret.version), Ok(data(value)))
                }
                CurrentValue::Disabled(secret) => {
                    (Some(secret.version), Err(ProblemKind::VersionDisabled(name.clone(), secret.version)))
                }
                CurrentValue::Destroyed(secret) => {
                    (Some(secret.version), Err(ProblemKind::VersionDestroyed(name.clone(), secret.version)))
                }
                CurrentValue::Expired(secret) => {
                    (Some(secret.version), Err(ProblemKind::SecretExpired(name.clone())))
                }
                CurrentValue::Missing => (None, Err(ProblemKind::MissingSecret(name.clone()))),
                CurrentValue::Damaged => return Err(Error::Integrity),
                CurrentValue::TooLarge => {
                    let kind = ProblemKind::TooCostly(Bound::Built);
                    return Err(unresolved(vec![Problem { place: Pointer::root(), kind }]));
                }
            };
            named.push(NamedSecret { reference, version, has_value: value.is_ok() });
            values.0.insert(name, value);
        }
        read(&named);
        let resolved =
            compute(turn, move || template.evaluate(&inputs, &values)).await?.map_err(unresolved)?;
        // A computation can take a good part of a second.
        let granted: Vec<_> = grants.iter().map(Grant::granted).collect();
        self.core.confirm(grant.principal(), &granted)?;
        if let Some(namespace) = self.core.catalog.namespace(grant.namespace()) {
            for (secret, version) in opened {
                self.core.usage.note_read(&namespace, secret, version, grant.principal().name());
            }
        }
        Ok(Resolution { resolved, named, revision })
    }

    /// The grants on the secrets that a document names.
    fn grants<R: RightType>(
        &self,
        authorization: &Authorization,
        grant: &NamespaceGrant<R>,
        references: &[Reference],
    ) -> Result<Vec<Grant<R>>, Error> {
        let now = now();
        let grants: Result<Vec<Grant<R>>, _> = self.core.catalog.with_policy(|policy| {
            let names = references.iter().map(|reference| &reference.name);
            names.map(|name| policy.grant(grant.principal(), grant.namespace(), name, now)).collect()
        });
        let grants = grants?;
        grants.iter().for_each(|grant| authorization.note(grant.granted()));
        Ok(grants)
    }

    /// The secrets that a document names. The caller must have the right on each of them. No value is read.
    pub async fn inspect(
        &self,
        authorization: &Authorization,
        grant: &NamespaceGrant<List>,
        template: &Template,
    ) -> Result<(Vec<NamedSecret>, Revision), Error> {
        let references = template.references();
        self.grants(authorization, grant, &references)?;
        let names: Vec<_> = references.iter().map(|reference| reference.name.clone()).collect();
        let shown = self.core.catalog.revision();
        let namespace = self.core.catalog.namespace(grant.namespace());
        let (secrets, revision) = match &namespace {
            Some(namespace) => namespace.secrets(&names, shown),
            None => (Vec::new(), shown),
        };
        let mut found = secrets.into_iter();
        let mut named = Vec::with_capacity(names.len());
        for reference in references {
            let secret = found.next().flatten();
            if secret.is_none() {
                self.reader.refuse_damaged(grant.namespace(), &reference.name).await?;
            }
            let current = secret.as_ref().and_then(|secret| secret.versions.find(secret.version));
            let expired = match &secret {
                Some(secret) => secret.is_expired(self.core.time_of(secret)?),
                None => false,
            };
            let has_value = !expired && current.is_some_and(|current| current.state == VersionState::Enabled);
            let version = secret.map(|secret| secret.version);
            named.push(NamedSecret { reference, version, has_value });
        }
        Ok((named, revision))
    }

    /// Waits for a turn.
    async fn turn(&self, principal: &Principal) -> Result<Turn<PrincipalName>, Error> {
        let full = |QueueFull| LimitReached::DocumentsPerPrincipal(self.line);
        Ok(self.computing.turn(principal.name()).await.map_err(full)?)
    }
}

/// Computes away from the threads that answer requests. The turn lasts as long as the computation, though nobody waits for the
/// outcome any more.
async fn compute<T: Send + 'static>(
    turn: Turn<PrincipalName>,
    compute: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let computing = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        wiping_stack::<STACK, _>(compute)
    });
    computing.await.map_err(|_| Error::Internal("a document could not be computed"))
}

/// The values that expressions see, or why there is none.
#[derive(Default)]
struct SecretValues(BTreeMap<SecretName, Result<Data, ProblemKind>>);

impl SecretLookup for SecretValues {
    fn value(&self, name: &SecretName) -> Result<Data, ProblemKind> {
        match self.0.get(name) {
            Some(Ok(data)) => Ok(data.copy()),
            Some(Err(why)) => Err(why.clone()),
            None => Err(ProblemKind::MissingSecret(name.clone())),
        }
    }
}

/// A value as expressions see it: moved, not copied.
fn data(value: Value) -> Data {
    match value {
        Value::Text(text) => Data::Text(text),
        Value::Binary(bytes) => Data::Bytes(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::fixture::{Fixture, options};
    use crate::app::{Expiry, Options};
    use crate::config::Limits;
    use crate::crypto::MasterKeys;
    use crate::store;

    #[tokio::test]
    async fn so_many_documents_of_a_principal_wait_and_those_of_others_have_their_turn() {
        let limits = Limits { documents_per_principal: 2, ..Limits::default() };
        let fixture = Fixture::with_options(
            store::open_memory().unwrap(),
            Arc::new(MasterKeys::generate().unwrap()),
            Options { limits, ..options() },
        )
        .await;
        let (many, one) = (fixture.caller(Expiry::Never).await, fixture.caller(Expiry::Never).await);
        let references = &fixture.app.references;
        let parse = |principal: &Principal| {
            let grant = fixture.app.access.grant_namespace::<List>(principal, principal.home()).unwrap();
            let app = fixture.app.clone();
            tokio::spawn(async move {
                app.references.parse_template(&grant, Data::Map(Vec::new())).await.map(drop)
            })
        };
        let mut turns = Vec::new();
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for _ in 0..processors {
            turns.push(references.computing.turn(fixture.root.name()).await.unwrap());
        }
        let waiting = [parse(&many), parse(&many)];
        while references.computing.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        let refused = parse(&many).await.unwrap().unwrap_err();
        assert!(matches!(refused, Error::Limit(LimitReached::DocumentsPerPrincipal(2))), "{refused:?}");
        let other = parse(&one);
        while references.computing.waiting() < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(references.usage().refused, 1);
        drop(turns);
        other.await.unwrap().unwrap();
        for document in waiting {
            document.await.unwrap().unwrap();
        }
    }
}
