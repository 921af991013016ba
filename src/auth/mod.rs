//! Who calls, and what the caller may do.
//!
//! A caller presents a [`Credential`], a client certificate or a token. The [`ApiKey`] that the credential belongs to, the
//! [`ClientCertificate`] or the [`VerifiedToken`] makes it a [`Principal`], and the principal makes a [`Grant`] for each right
//! that it has. Only this module can make a grant. Every operation that needs a right takes the
//! grant as an argument, so that code which forgets to ask does not compile. The api authenticates and authorizes; the app
//! takes the grants.

mod api_key;
mod certificate;
#[cfg(test)]
mod certificate_tests;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod grant;
mod key_set;
mod principal;
mod right;
mod token;
#[cfg(test)]
mod token_tests;

pub use self::api_key::{ApiKey, ApiKeyError, ApiKeyId, Credential, KeyName};
pub use self::certificate::{
    CertificateProblem, ClientAuthorities, ClientAuthoritiesError, ClientCertificate,
};
pub use self::grant::{Denied, Grant, ServiceGrant};
pub use self::key_set::{KeySet, KeySetError};
pub use self::principal::{CredentialKind, IssuedName, Principal, PrincipalName};
pub use self::right::{List, ManageAccess, Operate, Read, Right, RightType, Rotate, Write};
pub use self::token::{Token, TokenProblem, TokenRules, VerifiedToken};
