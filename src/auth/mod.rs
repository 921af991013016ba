//! Who calls, and what the caller may do.
//!
//! A caller presents a [`Credential`]. The [`ApiKey`] that it belongs to makes it a [`Principal`]. The [`Policy`] has the roles and
//! bindings of all principals, and makes a [`Grant`] for each right that a principal has. Nothing else can make a grant. Every
//! operation that needs a right takes the grant as an argument, so that code which forgets to ask does not compile. The api
//! authenticates and authorizes; the app takes the grants.

mod api_key;
mod binding;
mod epoch;
mod grant;
mod pattern;
mod policy;
mod principal;
mod right;
mod role;

pub use self::api_key::{ApiKey, ApiKeyError, ApiKeyId, Credential, KeyName};
pub use self::binding::{Binding, BindingId, Effect};
pub use self::epoch::AccessEpoch;
pub use self::grant::{
    Authorization, Denied, Grant, Granted, ManagerGrant, NamespaceGrant, NotConfirmed, Object, ScopeGrant,
    ServiceGrant,
};
pub use self::pattern::{NameFilter, NamePattern, NamespacePattern, Scope};
pub use self::policy::{Covered, Decision, Policy};
pub use self::principal::{CredentialKind, IssuedName, Principal, PrincipalName};
pub use self::right::{
    Audit, Delete, List, ManageAccess, Operate, Read, Right, RightType, Rights, Rotate, Write,
};
pub use self::role::{BuiltInRole, Role, RoleName};
