//! The grants that prove the rights of principals.
//!
//! A grant names its right as a type and its object as a value. It proves that the right existed when the grant was made. Only the
//! [`Policy`](super::Policy) makes grants, and says later whether what they prove is still so: the app asks it before it opens a
//! value, and with every commit; the gate does before the answer leaves.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::binding::BindingId;
use super::pattern::{NameFilter, Scope};
use super::principal::Principal;
use super::right::{ManageAccess, Right};
use crate::domain::{Namespace, SecretName, Timestamp};

/// What a principal was granted.
pub struct Granting<O> {
    pub(super) principal: Principal,
    pub(super) right: Right,
    pub(super) object: O,
    /// The generation of the policy that granted it.
    pub(super) generation: u64,
    /// Until when the right is given; `None`: for as long as the policy stays the same.
    pub(super) until: Option<Timestamp>,
}

/// A secret.
pub struct OnSecret {
    pub(super) namespace: Namespace,
    pub(super) name: SecretName,
}

/// The secrets of a namespace that pass a filter.
pub struct OnNamespace {
    pub(super) namespace: Namespace,
    pub(super) names: NameFilter,
}

/// The whole of a scope.
pub struct OnScope(pub(super) Scope);

/// The service as a whole.
pub struct OnService;

/// Some scope.
pub struct Somewhere;

/// What a right is on, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// The service as a whole.
    Service,
    /// Some scope.
    Somewhere,
    /// The whole of a scope.
    Scope(Scope),
    /// The whole of a scope, for longer than the caller has it itself.
    Longer(Scope),
    /// Some secret of a namespace.
    Namespace(Namespace),
    /// A secret.
    Secret(Namespace, SecretName),
}

impl OnSecret {
    pub(super) fn object(&self) -> Object {
        Object::Secret(self.namespace.clone(), self.name.clone())
    }
}

/// The object at the end of a sentence, such as "on the service".
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("on the service as a whole"),
            Self::Somewhere => f.write_str("on any namespace"),
            Self::Scope(scope) if scope.is_everything() => f.write_str("on the service as a whole"),
            Self::Scope(Scope { namespaces, names }) if names.is_every() => {
                write!(f, "on all secrets of '{namespaces}'")
            }
            Self::Scope(Scope { namespaces, .. }) => {
                write!(f, "on all secrets of '{namespaces}' with such names")
            }
            Self::Longer(scope) => write!(f, "{} for as long", Self::Scope(scope.clone())),
            Self::Namespace(namespace) => write!(f, "on the namespace '{namespace}'"),
            // The name is not told: it can be that of a secret that the caller may not know.
            Self::Secret(namespace, _) => write!(f, "on this secret in the namespace '{namespace}'"),
        }
    }
}

/// Proof that a principal has a right on a secret.
pub struct Grant<R> {
    pub(super) granted: Arc<Granting<OnSecret>>,
    pub(super) right: PhantomData<R>,
}

impl<R> Grant<R> {
    /// The caller who has the right.
    pub fn principal(&self) -> &Principal {
        &self.granted.principal
    }

    /// The namespace of the secret.
    pub fn namespace(&self) -> &Namespace {
        &self.granted.object.namespace
    }

    /// The name of the secret.
    pub fn name(&self) -> &SecretName {
        &self.granted.object.name
    }

    /// What was granted.
    pub fn granted(&self) -> Granted {
        Granted::Secret(self.granted.clone())
    }
}

/// Proof that a principal has a right on those secrets of a namespace that pass a filter.
pub struct NamespaceGrant<R> {
    pub(super) granted: Arc<Granting<OnNamespace>>,
    pub(super) right: PhantomData<R>,
}

impl<R> NamespaceGrant<R> {
    /// The caller who has the right.
    pub fn principal(&self) -> &Principal {
        &self.granted.principal
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.granted.object.namespace
    }

    /// Which names the right is on.
    pub fn names(&self) -> &NameFilter {
        &self.granted.object.names
    }

    /// What was granted.
    pub fn granted(&self) -> Granted {
        Granted::Namespace(self.granted.clone())
    }
}

/// Proof that a principal has a right on the whole of a scope.
pub struct ScopeGrant<R> {
    pub(super) granted: Arc<Granting<OnScope>>,
    pub(super) right: PhantomData<R>,
}

impl<R> ScopeGrant<R> {
    /// The caller who has the right.
    pub fn principal(&self) -> &Principal {
        &self.granted.principal
    }

    /// The scope.
    pub fn scope(&self) -> &Scope {
        &self.granted.object.0
    }

    /// What was granted.
    pub fn granted(&self) -> Granted {
        Granted::Scope(self.granted.clone())
    }
}

/// Proof that a principal has a right on the service as a whole.
pub struct ServiceGrant<R> {
    pub(super) granted: Arc<Granting<OnService>>,
    pub(super) right: PhantomData<R>,
}

impl<R> ServiceGrant<R> {
    /// The caller who has the right.
    pub fn principal(&self) -> &Principal {
        &self.granted.principal
    }

    /// What was granted.
    pub fn granted(&self) -> Granted {
        Granted::Service(self.granted.clone())
    }
}

/// Proof that a principal has a right on something. On what, is asked for each thing.
pub struct SomewhereGrant<R> {
    pub(super) granted: Arc<Granting<Somewhere>>,
    pub(super) right: PhantomData<R>,
}

/// Proof that a principal manages access somewhere. What it manages is asked for each binding and each key.
pub type ManagerGrant = SomewhereGrant<ManageAccess>;

impl<R> SomewhereGrant<R> {
    /// The caller who has the right.
    pub fn principal(&self) -> &Principal {
        &self.granted.principal
    }

    /// What was granted.
    pub fn granted(&self) -> Granted {
        Granted::Somewhere(self.granted.clone())
    }
}

/// What was granted, whatever the right and the object. Cheap to clone.
#[derive(Clone)]
pub enum Granted {
    /// A right on a secret.
    Secret(Arc<Granting<OnSecret>>),
    /// A right on secrets of a namespace.
    Namespace(Arc<Granting<OnNamespace>>),
    /// A right on the whole of a scope.
    Scope(Arc<Granting<OnScope>>),
    /// A right on the service as a whole.
    Service(Arc<Granting<OnService>>),
    /// A right on something.
    Somewhere(Arc<Granting<Somewhere>>),
}

impl Granted {
    /// The caller who has the right.
    pub fn principal(&self) -> &Principal {
        match self {
            Self::Secret(granting) => &granting.principal,
            Self::Namespace(granting) => &granting.principal,
            Self::Scope(granting) => &granting.principal,
            Self::Service(granting) => &granting.principal,
            Self::Somewhere(granting) => &granting.principal,
        }
    }

    pub(super) fn right(&self) -> Right {
        match self {
            Self::Secret(granting) => granting.right,
            Self::Namespace(granting) => granting.right,
            Self::Scope(granting) => granting.right,
            Self::Service(granting) => granting.right,
            Self::Somewhere(granting) => granting.right,
        }
    }

    pub(super) fn object(&self) -> Object {
        match self {
            Self::Secret(granting) => granting.object.object(),
            Self::Namespace(granting) => Object::Namespace(granting.object.namespace.clone()),
            Self::Scope(granting) => Object::Scope(granting.object.0.clone()),
            Self::Service(_) => Object::Service,
            Self::Somewhere(_) => Object::Somewhere,
        }
    }

    /// The generation of the policy that granted it, and until when.
    pub(super) fn made(&self) -> (u64, Option<Timestamp>) {
        match self {
            Self::Secret(granting) => (granting.generation, granting.until),
            Self::Namespace(granting) => (granting.generation, granting.until),
            Self::Scope(granting) => (granting.generation, granting.until),
            Self::Service(granting) => (granting.generation, granting.until),
            Self::Somewhere(granting) => (granting.generation, granting.until),
        }
    }
}

/// A caller, and everything that it was granted during its request. The request ends where the caller's credential does, or where
/// something of this is taken away.
pub struct Authorization {
    principal: Principal,
    granted: Mutex<Vec<Granted>>,
    /// Whether the answer is the caller's whatever becomes of it.
    concluded: AtomicBool,
}

impl Authorization {
    /// A caller that was granted nothing yet.
    pub fn new(principal: Principal) -> Self {
        Self { principal, granted: Mutex::default(), concluded: AtomicBool::new(false) }
    }

    /// The caller.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Notes what the caller was granted.
    pub fn note(&self, granted: Granted) {
        self.lock().push(granted);
    }

    /// Notes that the caller has itself ended its credential, or what it was granted: the answer is still for the caller. Such as that
    /// of a key that has rotated itself, which has the new credential.
    pub fn conclude(&self) {
        self.concluded.store(true, Ordering::Release);
    }

    /// Whether the caller has itself ended what it acts by.
    pub fn is_concluded(&self) -> bool {
        self.concluded.load(Ordering::Acquire)
    }

    /// Asks about everything that the caller was granted, until one answer is an error.
    pub fn try_each<E>(&self, ask: impl FnMut(&Granted) -> Result<(), E>) -> Result<(), E> {
        self.lock().iter().try_for_each(ask)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Granted>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The caller lacks a right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The right that the caller lacks.
    pub right: Right,
    /// What the caller lacks it on.
    pub object: Object,
    /// The binding that denies it; `None` where no binding gives it.
    pub by: Option<BindingId>,
}

/// What was granted is not so any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotConfirmed {
    /// The caller lacks the right now.
    Denied(Denied),
    /// The caller has the right on other names now.
    Changed,
}

impl From<Denied> for NotConfirmed {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}
