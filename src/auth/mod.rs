//! Who calls, and what they may do.
//!
//! A [`Grant`] is proof that a principal has a right. Only this module can make one, and what needs a right takes the
//! grant as an argument, so that forgetting to ask does not compile.

mod api_key;
mod grant;
mod right;

pub use self::api_key::{ApiKey, ApiKeyId, Credential, KeyName, Refused};
pub use self::grant::{Denied, Grant, Principal, ServiceGrant};
pub use self::right::{List, ManageAccess, Operate, Read, Right, RightType, Rotate, Write};
