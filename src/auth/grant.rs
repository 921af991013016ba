use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::api_key::ApiKey;
use super::right::{Right, RightType};
use crate::domain::{Namespace, SecretName};

/// An authenticated caller.
#[derive(Clone)]
pub struct Principal {
    key: Arc<ApiKey>,
}

impl Principal {
    /// The caller that presented this key, which must have been verified.
    pub(super) fn new(key: Arc<ApiKey>) -> Self {
        Self { key }
    }

    /// The key that it presented.
    pub fn api_key(&self) -> &Arc<ApiKey> {
        &self.key
    }

    /// What an empty namespace in its requests means.
    pub fn home(&self) -> &Namespace {
        &self.key.home
    }

    /// Its rights on a namespace.
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
        if self.key.root {
            ROOT
        } else if *namespace == self.key.home {
            AT_HOME
        } else {
            &[]
        }
    }

    /// Proof that it has a right on a namespace.
    pub fn authorize<R: RightType>(&self, namespace: &Namespace) -> Result<Grant<R>, Denied> {
        if !self.rights(namespace).contains(&R::RIGHT) {
            return Err(Denied { right: R::RIGHT, namespace: Some(namespace.clone()) });
        }
        Ok(Grant { principal: self.clone(), namespace: namespace.clone(), right: PhantomData })
    }

    /// Proof that it has a right on one secret of a namespace: asked for each secret that a document names. A key's rights
    /// are the same for all secrets of a namespace.
    pub fn authorize_secret<R: RightType>(
        &self,
        namespace: &Namespace,
        _name: &SecretName,
    ) -> Result<Grant<R>, Denied> {
        self.authorize(namespace)
    }

    /// Proof that it has a right on the service as a whole, which only the root key has.
    pub fn authorize_service<R: RightType>(&self) -> Result<ServiceGrant<R>, Denied> {
        if !self.key.root {
            return Err(Denied { right: R::RIGHT, namespace: None });
        }
        Ok(ServiceGrant { right: PhantomData })
    }
}

/// As logs name it: `key:` and the key's id.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key:{}", self.key.id)
    }
}

/// Proof that a principal has a right on a namespace.
pub struct Grant<R> {
    principal: Principal,
    namespace: Namespace,
    right: PhantomData<R>,
}

impl<R> Grant<R> {
    /// Who has the right.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Where.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// Proof that a principal has a right on the service as a whole.
pub struct ServiceGrant<R> {
    right: PhantomData<R>,
}

/// A right is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The right that is missing.
    pub right: Right,
    /// Where; `None` for the service as a whole.
    pub namespace: Option<Namespace>,
}

#[cfg(test)]
mod tests {
    use super::super::right::{List, ManageAccess, Read, Write};
    use super::*;
    use crate::auth::Credential;
    use crate::crypto::{Keyring, MasterKeys};
    use crate::domain::now;

    fn principal(root: bool) -> Principal {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let credential = Credential::generate().unwrap();
        let name = crate::auth::KeyName::parse("test").unwrap();
        let home = Namespace::parse("team").unwrap();
        Principal::new(Arc::new(ApiKey::new(&keyring, &credential, name, home, root, now(), None)))
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
