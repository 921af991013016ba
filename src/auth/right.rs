//! Rights: as values, for roles and messages, and as types, for grants.

use std::fmt;

/// A right on secrets, on who may use them, or on the service as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// List secrets, and see their names and metadata.
    List,
    /// Read the values of secrets.
    Read,
    /// Create, update and rename secrets; disable and enable versions.
    Write,
    /// Give a secret a new value.
    Rotate,
    /// Delete secrets, and destroy versions.
    Delete,
    /// Manage API keys, roles and bindings.
    ManageAccess,
    /// Read the audit log.
    Audit,
    /// Operate the service: its status, keys and backups.
    Operate,
}

impl Right {
    /// All rights, in the order in which lists name them.
    pub const ALL: [Self; 8] = [
        Self::List,
        Self::Read,
        Self::Write,
        Self::Rotate,
        Self::Delete,
        Self::ManageAccess,
        Self::Audit,
        Self::Operate,
    ];

    /// The right's name in messages and replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read => "read",
            Self::Write => "write",
            Self::Rotate => "rotate",
            Self::Delete => "delete",
            Self::ManageAccess => "manage_access",
            Self::Audit => "audit",
            Self::Operate => "operate",
        }
    }

    /// Whether the right is on the service as a whole. Such a right needs a binding on all namespaces and all names.
    pub fn is_of_service(self) -> bool {
        match self {
            Self::Audit | Self::Operate => true,
            Self::List | Self::Read | Self::Write | Self::Rotate | Self::Delete | Self::ManageAccess => false,
        }
    }

    /// The right's number in stored records, which is that of the proto files.
    pub fn number(self) -> u32 {
        match self {
            Self::List => 1,
            Self::Read => 2,
            Self::Write => 3,
            Self::Rotate => 4,
            Self::ManageAccess => 5,
            Self::Audit => 6,
            Self::Operate => 7,
            Self::Delete => 8,
        }
    }

    /// The right of this number.
    pub fn of_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.number() == number)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights(u16);

impl Rights {
    /// No right.
    pub const NONE: Self = Self(0);
    /// Every right.
    pub const ALL: Self = Self::of(&Right::ALL);

    /// These rights.
    pub const fn of(rights: &[Right]) -> Self {
        let (mut set, mut rest) = (0, rights);
        while let [right, others @ ..] = rest {
            set |= Self::bit(*right);
            rest = others;
        }
        Self(set)
    }

    /// Whether the right is one of them.
    pub fn contains(self, right: Right) -> bool {
        self.0 & Self::bit(right) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rights, in the order of [`Right::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.contains(*right))
    }

    const fn bit(right: Right) -> u16 {
        1 << right as u16
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        Self(rights.into_iter().fold(0, |set, right| set | Self::bit(right)))
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
    /// [`Right::Delete`].
    Delete,
    /// [`Right::ManageAccess`].
    ManageAccess,
    /// [`Right::Audit`].
    Audit,
    /// [`Right::Operate`].
    Operate,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_rights_that_it_is_made_of() {
        assert_eq!(Rights::ALL.iter().collect::<Vec<_>>(), Right::ALL);
        assert!(Rights::NONE.is_empty() && Rights::NONE.iter().next().is_none());
        let some = Rights::of(&[Right::Operate, Right::List]);
        assert_eq!(some.iter().collect::<Vec<_>>(), [Right::List, Right::Operate]);
        assert!(!some.contains(Right::Read));
        assert_eq!(some, [Right::List, Right::Operate, Right::List].into_iter().collect());
        for right in Right::ALL {
            assert_eq!(Right::of_number(right.number()), Some(right));
        }
        assert_eq!(Right::of_number(0), None);
    }
}
