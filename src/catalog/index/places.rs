//! Secrets in tables that find them by their ids and names, which are in the secrets themselves.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use super::packed::PackedSecret;
use crate::domain::SecretId;

/// A secret in a set by id.
pub(super) struct ById(pub(super) PackedSecret);

/// A secret in a set by name.
pub(super) struct ByName(pub(super) PackedSecret);

impl Borrow<SecretId> for ById {
    fn borrow(&self) -> &SecretId {
        self.0.id_ref()
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id_ref().hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for ById {}

impl Borrow<[u8]> for ByName {
    fn borrow(&self) -> &[u8] {
        self.0.name()
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name().hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for ByName {}
