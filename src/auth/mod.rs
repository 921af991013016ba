//! Who calls, and what the caller may do.
//!
//! A caller presents a [`Credential`]. The [`ApiKey`] that it belongs to makes it a [`Principal`], and the principal makes
//! a [`Grant`] for each right that it has. Only this module can make a grant. Every operation that needs a right takes the
//! grant as an argument, so that code which forgets to ask does not compile. The api authenticates and authorizes; the app
//! takes the grants.

mod api_key;
mod certificate;
mod grant;
mod key_set;
mod principal;
mod right;
mod token;

pub use self::api_key::{ApiKey, ApiKeyError, ApiKeyId, Credential, KeyName};
pub use self::certificate::{
    CertificateProblem, ClientAuthorities, ClientAuthoritiesError, ClientCertificate,
};
pub use self::grant::{Denied, Grant, ServiceGrant};
pub use self::key_set::{KeySet, KeySetError};
pub use self::principal::{CredentialKind, IssuedName, Principal, PrincipalName};
pub use self::right::{List, ManageAccess, Operate, Read, Right, RightType, Rotate, Write};
pub use self::token::{Token, TokenProblem, TokenRules, VerifiedToken};
