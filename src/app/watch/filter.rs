//! Which events a watch tells, and how: what the caller may list, and what the watch asks for.

use super::{StepType, WatchQuery};
use crate::auth::{List, NameFilter, NamespaceGrant, Policy, Principal};
use crate::crypto::pair_digest;
use crate::domain::{Namespace, PairDigest, Secret, SecretEvent, SecretName, now};

/// Which events a watch tells.
pub(super) struct EventFilter {
    grant: NamespaceGrant<List>,
    query: WatchQuery,
    /// The digests of the pairs of metadata that the query asks for.
    pairs: Box<[PairDigest]>,
}

impl EventFilter {
    pub(super) fn new(grant: NamespaceGrant<List>, query: WatchQuery) -> Self {
        let pairs = query.metadata.iter().map(|(key, value)| pair_digest(key, value)).collect();
        Self { grant, query, pairs }
    }

    /// The namespace that is watched.
    pub(super) fn namespace(&self) -> &Namespace {
        self.grant.namespace()
    }

    /// Whether the namespaces below it are watched, too.
    pub(super) fn includes_children(&self) -> bool {
        self.query.include_children
    }

    /// What the watch asks for.
    pub(super) fn query(&self) -> &WatchQuery {
        &self.query
    }

    /// The caller.
    pub(super) fn principal(&self) -> &Principal {
        self.grant.principal()
    }

    /// Whether events of this namespace can be told.
    pub(super) fn concerns(&self, namespace: &Namespace) -> bool {
        namespace == self.namespace() || self.includes_children() && namespace.is_in(self.namespace())
    }

    /// Which names of a namespace the caller may list now; `None`: none.
    pub(super) fn names(&self, policy: &Policy, namespace: &Namespace) -> Option<NameFilter> {
        if namespace == self.namespace() {
            return Some(self.grant.names().clone()); // the watch ends where this is not so any more
        }
        let grant = policy.grant_namespace::<List>(self.principal(), namespace, now()).ok()?;
        Some(grant.names().clone())
    }

    /// What is told of an event; `None`: nothing.
    pub(super) fn told(&self, policy: &Policy, event: &SecretEvent) -> Option<StepType> {
        let SecretEvent { kind, secret, former_name, former_metadata, .. } = event;
        if !self.concerns(&secret.namespace) {
            return None;
        }
        let names = self.names(policy, &secret.namespace)?;
        let has_name =
            |name: &SecretName| names.passes(name) && name.as_str().starts_with(&*self.query.prefix);
        let has_metadata = self.has_metadata(secret);
        if has_name(&secret.name) && has_metadata {
            let former_name = former_name.clone().filter(|name| names.passes(name));
            return Some(StepType::Changed(*kind, secret.clone(), former_name));
        }
        let former_name = former_name.as_ref().unwrap_or(&secret.name);
        let had_metadata = match former_metadata {
            Some(former) => self.pairs.iter().all(|pair| former.has(pair)),
            None => has_metadata,
        };
        let matched = !kind.begins() && has_name(former_name) && had_metadata;
        matched.then(|| StepType::Removed(secret.namespace.clone(), secret.id, former_name.clone()))
    }

    /// Whether a secret has the pairs of metadata that the watch asks for.
    fn has_metadata(&self, secret: &Secret) -> bool {
        self.query.metadata.iter().all(|(key, value)| secret.metadata.has(key, value))
    }
}
