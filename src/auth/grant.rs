//! The grants that prove the rights of principals.
//!
//! A grant names its right as a type and its namespace as a value. It proves that the right existed when the grant was
//! made. The app confirms that the caller's key is still in force before it opens a value, and with every commit; the gate does
//! before the answer leaves.

use std::marker::PhantomData;

use super::principal::{CredentialKind, Principal};
use super::right::{Right, RightType};
use crate::domain::{Namespace, SecretName};

impl Principal {
    /// The caller's rights on a namespace: the root key has all, an ordinary key has its rights at home only.
    pub fn rights(&self, namespace: &Namespace) -> &'static [Right] {
        const ROOT: &[Right] = &[
            Right::List,
            Right::Read,
            Right::Write,
            Right::Rotate,
            Right::ManageAccess,
            Right::Audit,
            Right::Operate,
        ];
        const AT_HOME: &[Right] = &[Right::List, Right::Read, Right::Write, Right::Rotate];
        match self.credential() {
            CredentialKind::ApiKey(key) if key.root => ROOT,
            CredentialKind::ApiKey(key) if *namespace == key.home => AT_HOME,
            CredentialKind::ApiKey(_) | CredentialKind::Certificate(_) | CredentialKind::Token(_) => &[],
        }
    }

    /// Proof that the caller has a right on a namespace.
    pub fn authorize<R: RightType>(&self, namespace: &Namespace) -> Result<Grant<R>, Denied> {
        if !self.rights(namespace).contains(&R::RIGHT) {
            return Err(Denied { right: R::RIGHT, namespace: Some(namespace.clone()) });
        }
        Ok(Grant { principal: self.clone(), namespace: namespace.clone(), right: PhantomData })
    }

    /// Proof that the caller has a right on one secret of a namespace. Asked for each secret that a document names. An API
    /// key has the same rights on all secrets of a namespace.
    pub fn authorize_secret<R: RightType>(
        &self,
        namespace: &Namespace,
        _name: &SecretName,
    ) -> Result<Grant<R>, Denied> {
        self.authorize(namespace)
    }

    /// Proof that the caller has a right on the service as a whole. Only the root key has such rights.
    pub fn authorize_service<R: RightType>(&self) -> Result<ServiceGrant<R>, Denied> {
        match self.credential() {
            CredentialKind::ApiKey(key) if key.root => {
                Ok(ServiceGrant { principal: self.clone(), right: PhantomData })
            }
            CredentialKind::ApiKey(_) | CredentialKind::Certificate(_) | CredentialKind::Token(_) => {
                Err(Denied { right: R::RIGHT, namespace: None })
            }
        }
    }
}

/// Proof that a principal has a right on a namespace.
pub struct Grant<R> {
    principal: Principal,
    namespace: Namespace,
    right: PhantomData<R>,
}

impl<R> Grant<R> {
    /// The caller who has the right.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The namespace on which the caller has the right.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// Proof that a principal has a right on the service as a whole.
pub struct ServiceGrant<R> {
    principal: Principal,
    right: PhantomData<R>,
}

impl<R> ServiceGrant<R> {
    /// The caller who has the right.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

/// The caller lacks a right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The right that the caller lacks.
    pub right: Right,
    /// The namespace on which the caller lacks it; `None`: on the service as a whole.
    pub namespace: Option<Namespace>,
}

#[cfg(test)]
mod tests {
    use super::super::right::{List, ManageAccess, Read, Write};
    use std::sync::Arc;

    use super::*;
    use crate::auth::{ApiKey, Credential};
    use crate::crypto::{Keyring, MasterKeys};
    use crate::domain::now;

    fn principal(root: bool) -> Principal {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let credential = Credential::generate().unwrap();
        let name = crate::auth::KeyName::parse("test").unwrap();
        let home = Namespace::parse("team").unwrap();
        Principal::of_api_key(Arc::new(ApiKey::new(&keyring, &credential, name, home, root, now(), None)))
    }

    #[test]
    fn an_ordinary_key_has_its_rights_at_home_only() {
        let (team, other) = (Namespace::parse("team").unwrap(), Namespace::parse("team/sub").unwrap());
        let key = principal(false);
        assert!(key.authorize::<Read>(&team).is_ok());
        assert!(key.authorize::<Write>(&team).is_ok());
        assert!(key.authorize::<Read>(&other).is_err());
        assert!(key.authorize::<List>(&other).is_err());
        assert!(key.authorize_service::<ManageAccess>().is_err());
    }

    #[test]
    fn the_root_key_has_every_right_everywhere() {
        let key = principal(true);
        assert!(key.authorize::<Read>(&Namespace::parse("anywhere").unwrap()).is_ok());
        assert!(key.authorize_service::<ManageAccess>().is_ok());
    }
}
