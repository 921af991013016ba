//! Who calls, and what the caller may do.
//!
//! A caller presents a [`Credential`], a client certificate or a token. The [`ApiKey`] that the credential belongs to, the
//! [`ClientCertificate`] or the [`VerifiedToken`] makes it a [`Principal`]. The [`Policy`] has the roles and
//! bindings of all principals, and makes a [`Grant`] for each right that a principal has. Nothing else can make a grant. Every
//! operation that needs a right takes the grant as an argument, so that code which forgets to ask does not compile. The api
//! authenticates and authorizes; the app takes the grants.

mod api_key;
mod binding;
mod certificate;
#[cfg(test)]
mod certificate_tests;
mod epoch;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod grant;
mod key_set;
mod pattern;
mod policy;
mod principal;
mod right;
mod role;
mod token;
#[cfg(test)]
mod token_tests;

pub use self::api_key::{ApiKey, ApiKeyError, ApiKeyId, Credential, KeyName};
pub use self::binding::{Binding, BindingId, Effect};
pub use self::certificate::{
    CertificateProblem, ClientAuthorities, ClientAuthoritiesError, ClientCertificate, validity,
};
pub use self::epoch::AccessEpoch;
pub use self::grant::{
    Authorization, Denied, Grant, Granted, ManagerGrant, NamespaceGrant, NotConfirmed, Object, ScopeGrant,
    ServiceGrant, SomewhereGrant,
};
pub use self::key_set::{KeySet, KeySetError};
pub use self::pattern::{NameFilter, NamePattern, NamespacePattern, Scope};
pub use self::policy::{Covered, Decision, Policy};
pub use self::principal::{CredentialKind, IssuedName, Principal, PrincipalName};
pub use self::right::{
    Audit, Delete, List, ManageAccess, Operate, Read, Right, RightType, Rights, Rotate, Write,
};
pub use self::role::{BuiltInRole, Role, RoleName};
pub use self::token::{Token, TokenProblem, TokenRules, VerifiedToken};
