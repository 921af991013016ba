//! Rights: as values, for lists and messages, and as types, for grants.

/// A right on a namespace, or on the service as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// List secrets, and see their names and metadata.
    List,
    /// Read the values of secrets.
    Read,
    /// Create, update, rename and delete secrets.
    Write,
    /// Give a secret a new value.
    Rotate,
    /// Create, list and revoke API keys.
    ManageAccess,
    /// Read the audit log.
    Audit,
    /// Operate the service: its status, keys and backups.
    Operate,
}

impl Right {
    /// The right's name in messages and replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read => "read",
            Self::Write => "write",
            Self::Rotate => "rotate",
            Self::ManageAccess => "manage_access",
            Self::Audit => "audit",
            Self::Operate => "operate",
        }
    }
}

/// A right as a type, so that the compiler tells grants of different rights apart.
pub trait RightType {
    /// The right that this type stands for.
    const RIGHT: Right;
}

macro_rules! right_types {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub struct $name;

        impl RightType for $name {
            const RIGHT: Right = Right::$name;
        }
    )*};
}

right_types!(
    /// [`Right::List`].
    List,
    /// [`Right::Read`].
    Read,
    /// [`Right::Write`].
    Write,
    /// [`Right::Rotate`].
    Rotate,
    /// [`Right::ManageAccess`].
    ManageAccess,
    /// [`Right::Audit`].
    Audit,
    /// [`Right::Operate`].
    Operate,
);
