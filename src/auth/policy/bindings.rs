//! The bindings of one principal, found by the namespace and the names that they are about.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::names::{ByName, OfPattern};
use crate::auth::binding::Binding;
use crate::auth::pattern::NamespacePattern;
use crate::auth::right::Rights;
use crate::domain::{Minute, Namespace, SecretName, Timestamp};

/// A binding with the rights of its role.
pub(super) struct Bound {
    pub(super) binding: Arc<Binding>,
    pub(super) rights: Rights,
    /// The number of the minute of its last use; 0: none.
    last_used: AtomicU32,
}

impl Bound {
    pub(super) fn new(binding: Arc<Binding>, rights: Rights) -> Self {
        Self { binding, rights, last_used: AtomicU32::new(0) }
    }

    /// Notes that it gave or denied a right. Writes once a minute, so that readers on other processors keep their copy.
    pub(super) fn note_use(&self, now: Timestamp) {
        let minute = Minute::of(now).number();
        if self.last_used.load(Ordering::Relaxed) < minute {
            self.last_used.fetch_max(minute, Ordering::Relaxed);
        }
    }

    /// The minute of its last use, as far as this process knows.
    pub(super) fn last_used(&self) -> Option<Minute> {
        Minute::from_number(self.last_used.load(Ordering::Relaxed))
    }
}

/// The bindings of one principal.
#[derive(Default)]
pub(super) struct PrincipalBindings {
    everywhere: ByName,
    /// Those of one namespace alone.
    exactly: HashMap<Namespace, ByName>,
    /// Those of a namespace and all below it.
    below: HashMap<Namespace, ByName>,
}

impl PrincipalBindings {
    pub(super) fn insert(&mut self, bound: Bound) {
        match &bound.binding.scope.namespaces {
            NamespacePattern::Everywhere => self.everywhere.insert(bound),
            NamespacePattern::Exactly(namespace) => {
                self.exactly.entry(namespace.clone()).or_default().insert(bound);
            }
            NamespacePattern::Below(top) => self.below.entry(top.clone()).or_default().insert(bound),
        }
    }

    pub(super) fn remove(&mut self, binding: &Binding) {
        let (table, namespace) = match &binding.scope.namespaces {
            NamespacePattern::Everywhere => return self.everywhere.remove(binding),
            NamespacePattern::Exactly(namespace) => (&mut self.exactly, namespace),
            NamespacePattern::Below(top) => (&mut self.below, top),
        };
        if let Some(bindings) = table.get_mut(namespace) {
            bindings.remove(binding);
            if bindings.is_empty() {
                table.remove(namespace);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.everywhere.is_empty() && self.exactly.is_empty() && self.below.is_empty()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Bound> {
        let in_tables = self.exactly.values().chain(self.below.values());
        std::iter::once(&self.everywhere).chain(in_tables).flat_map(ByName::iter)
    }

    /// Those of all namespaces.
    pub(super) fn everywhere(&self) -> impl Iterator<Item = &Bound> {
        self.everywhere.iter()
    }

    /// Those whose namespace pattern has this namespace.
    pub(super) fn at<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = &'a Bound> {
        self.tables(namespace).flat_map(ByName::iter)
    }

    /// Those that are about this secret, by name pattern.
    pub(super) fn on<'a>(
        &'a self,
        namespace: &'a Namespace,
        name: &'a SecretName,
    ) -> impl Iterator<Item = &'a OfPattern> {
        self.tables(namespace).flat_map(|bindings| bindings.matching(name))
    }

    fn tables<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = &'a ByName> {
        let tops = if self.below.is_empty() { "" } else { namespace.as_str() };
        let below = ends(tops).filter_map(|end| tops.get(..end)).filter_map(|top| self.below.get(top));
        std::iter::once(&self.everywhere).chain(self.exactly.get(namespace)).chain(below)
    }
}

/// Where the namespaces end that a namespace is within, itself included. None where the text is empty.
fn ends(namespace: &str) -> impl Iterator<Item = usize> {
    let whole = (!namespace.is_empty()).then_some(namespace.len());
    namespace.bytes().enumerate().filter(|(_, byte)| *byte == b'/').map(|(at, _)| at).chain(whole)
}
