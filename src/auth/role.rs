//! Roles: named sets of rights, which bindings give to principals. Some are built in, and others are made by people.

use std::borrow::Borrow;
use std::fmt;

use prost::Message;

use super::right::{Right, Rights};
use crate::crypto::{Error, Keyring, Mac, Purpose};
use crate::domain::{Description, Invalid, Revision, Timestamp};
use crate::schema::RoleRecord;

/// The name of a role: 1 to 64 lower-case letters, digits, underscores and hyphens, beginning with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(Box<str>);

impl RoleName {
    const MAX: usize = 64;
    /// The name that stands for no role where a key is created. No role has it.
    pub const NONE: &str = "none";

    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        let holds = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if !begins || text.len() > Self::MAX || !text.bytes().all(holds) {
            return Err(Invalid::new(
                "must be the name of a role: 1 to 64 lower-case letters, digits, underscores and hyphens, beginning with a \
                 letter",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The name of a role that is built in.
    pub fn of(role: BuiltInRole) -> Self {
        Self(role.name().into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The role of this name that is built in, if there is one.
    pub fn built_in(&self) -> Option<BuiltInRole> {
        BuiltInRole::ALL.into_iter().find(|role| role.name() == &*self.0)
    }
}

impl Borrow<str> for RoleName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A role that every store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltInRole {
    /// Sees which secrets exist.
    Viewer,
    /// Reads values.
    Reader,
    /// Creates and changes secrets, without reading their values.
    Writer,
    /// Gives secrets new values.
    Rotator,
    /// Does everything with secrets.
    Editor,
    /// Reads the audit log.
    Auditor,
    /// Manages keys, roles and bindings.
    AccessAdmin,
    /// Operates the service.
    Operator,
    /// Has every right.
    Admin,
}

impl BuiltInRole {
    /// All of them, in the order in which lists name them.
    pub const ALL: [Self; 9] = [
        Self::Viewer,
        Self::Reader,
        Self::Writer,
        Self::Rotator,
        Self::Editor,
        Self::Auditor,
        Self::AccessAdmin,
        Self::Operator,
        Self::Admin,
    ];

    /// The role's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Rotator => "rotator",
            Self::Editor => "editor",
            Self::Auditor => "auditor",
            Self::AccessAdmin => "access_admin",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role's rights.
    pub fn rights(self) -> Rights {
        match self {
            Self::Viewer => Rights::of(&[Right::List]),
            Self::Reader => Rights::of(&[Right::List, Right::Read]),
            Self::Writer => Rights::of(&[Right::List, Right::Write, Right::Rotate]),
            Self::Rotator => Rights::of(&[Right::List, Right::Rotate]),
            Self::Editor => {
                Rights::of(&[Right::List, Right::Read, Right::Write, Right::Rotate, Right::Delete])
            }
            Self::Auditor => Rights::of(&[Right::Audit]),
            Self::AccessAdmin => Rights::of(&[Right::ManageAccess]),
            Self::Operator => Rights::of(&[Right::Operate]),
            Self::Admin => Rights::ALL,
        }
    }

    /// What the role is for, in words.
    pub fn description(self) -> &'static str {
        match self {
            Self::Viewer => "Sees which secrets exist.",
            Self::Reader => "Reads the values of secrets.",
            Self::Writer => "Creates, changes and rotates secrets, and reads no values.",
            Self::Rotator => "Gives secrets new values, and reads none.",
            Self::Editor => "Does everything with secrets.",
            Self::Auditor => "Reads the audit log.",
            Self::AccessAdmin => "Manages API keys, roles and bindings, and reads no values.",
            Self::Operator => "Operates the service.",
            Self::Admin => "Has every right.",
        }
    }
}

/// A role that a person made. It never changes, so that nobody gets a right by a change of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// Its rights: at least one.
    pub rights: Rights,
    /// What it is for.
    pub description: Description,
    /// When it was created.
    pub created_at: Timestamp,
    /// The store's revision of the last change to the record.
    pub revision: Revision,
}

impl Role {
    /// The sealed record of the role, as the store keeps it.
    pub fn seal(&self, keyring: &Keyring) -> Result<Vec<u8>, Error> {
        let record = RoleRecord {
            name: self.name.to_string(),
            rights: self.rights.iter().map(Right::number).collect(),
            description: self.description.as_str().to_owned(),
            created_at: self.created_at.as_micros(),
        };
        keyring.seal(Purpose::Role, &keyring.role_mac(self.name.as_str()), &record.encode_to_vec())
    }

    /// Opens the sealed record that the commit with this revision put at the HMAC of a role's name. Fails with
    /// [`Error::Integrity`] where the keyring did not seal the record for this place.
    pub fn open(keyring: &Keyring, mac: &Mac, sealed: &[u8], revision: Revision) -> Result<Self, Error> {
        let clear = keyring.open_record(Purpose::Role, mac, sealed)?;
        let record = RoleRecord::decode(clear.as_slice()).map_err(|_| Error::Integrity)?;
        let rights: Option<Rights> = record.rights.iter().map(|number| Right::of_number(*number)).collect();
        let role = Self {
            name: RoleName::parse(&record.name).map_err(|_| Error::Integrity)?,
            rights: rights.filter(|rights| !rights.is_empty()).ok_or(Error::Integrity)?,
            description: Description::parse(&record.description).map_err(|_| Error::Integrity)?,
            created_at: Timestamp::from_micros(record.created_at),
            revision,
        };
        if keyring.role_mac(role.name.as_str()) == *mac { Ok(role) } else { Err(Error::Integrity) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKeys;

    #[test]
    fn names_of_roles_are_plain() {
        for accepted in ["a", "ci-reader", "access_admin", "r2", &"a".repeat(64)] {
            assert!(RoleName::parse(accepted).is_ok(), "{accepted}");
        }
        for refused in ["", "A", "1a", "_a", "a b", "a/b", "é", "a\n", &"a".repeat(65)] {
            assert!(RoleName::parse(refused).is_err(), "{refused}");
        }
        for role in BuiltInRole::ALL {
            assert_eq!(RoleName::of(role).built_in(), Some(role));
            assert!(RoleName::parse(role.name()).is_ok() && !role.rights().is_empty());
        }
        assert_eq!(RoleName::parse("none").unwrap().built_in(), None);
    }

    #[test]
    fn a_role_opens_at_its_own_place_only() {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let role = Role {
            name: RoleName::parse("ci").unwrap(),
            rights: Rights::of(&[Right::List, Right::Delete]),
            description: Description::parse("for CI").unwrap(),
            created_at: Timestamp::from_micros(7),
            revision: Revision(3),
        };
        let sealed = role.seal(&keyring).unwrap();
        let place = keyring.role_mac("ci");
        assert_eq!(Role::open(&keyring, &place, &sealed, Revision(3)).unwrap(), role);
        assert!(Role::open(&keyring, &keyring.role_mac("other"), &sealed, Revision(3)).is_err());
    }
}
