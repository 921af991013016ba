//! Who calls, and what the caller may do.
//!
//! A caller presents a [`Credential`]. The [`ApiKey`] that it belongs to makes it a [`Principal`], and the principal makes
//! a [`Grant`] for each right that it has. Only this module can make a grant. Every operation that needs a right takes the
//! grant as an argument, so that code which forgets to ask does not compile. The api authenticates and authorizes; the app
//! takes the grants.

mod api_key;
mod grant;
mod right;

pub use self::api_key::{ApiKey, ApiKeyError, ApiKeyId, Credential, KeyName};
pub use self::grant::{Denied, Grant, Principal, ServiceGrant};
pub use self::right::{Audit, List, ManageAccess, Operate, Read, Right, RightType, Rotate, Write};
