/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// See which secrets there are.
    List,
    /// Read values.
    Read,
    /// Create, update, rename and delete.
    Write,
    /// Give a secret a new value.
    Rotate,
    /// Create, list and revoke API keys.
    ManageAccess,
    /// Read the audit log.
    Audit,
    /// See and steer the service.
    Operate,
}

impl Right {
    /// The right's name, as people write it.
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

/// A right as a type, so that a grant of one can not pass for a grant of another.
pub trait RightType {
    /// The right.
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
    /// [`Right::Operate`].
    Operate,
);
