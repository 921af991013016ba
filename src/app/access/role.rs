//! Create, list and delete roles.

use std::sync::Arc;

use super::AccessControl;
use crate::app::Error;
use crate::app::authority::Authority;
use crate::app::commit::REQUEST_ATTEMPTS;
use crate::auth::{ManageAccess, ManagerGrant, Rights, Role, RoleName, ServiceGrant};
use crate::domain::{Description, Revision, now};
use crate::store::{Expect, Key, Transaction};

/// How many roles there can be besides the built-in ones: all of them fit into one reply.
const MAX_ROLES: usize = 1000;

impl AccessControl {
    /// Creates a role. It gives nobody a right: bindings do.
    pub async fn create_role(
        &self,
        grant: &ServiceGrant<ManageAccess>,
        name: RoleName,
        rights: Rights,
        description: Description,
    ) -> Result<(Role, Revision), Error> {
        let granted = [grant.granted()];
        let _turn = self.turn(grant.principal()).await;
        let mut attempts =
            self.core.attempts(REQUEST_ATTEMPTS, Authority::Caller(grant.principal(), &granted));
        loop {
            let attempt = attempts.next()?;
            self.core.refuse_spent(attempt.keyring.since())?;
            if self.core.catalog.with_policy(|policy| policy.rights_of(&name).is_some()) {
                return Err(Error::RoleAlreadyExists(name));
            }
            if self.core.catalog.with_policy(|policy| policy.roles().count()) >= MAX_ROLES {
                return Err(Error::TooManyRoles(MAX_ROLES));
            }
            let (created_at, revision) = (now(), Revision::default());
            let (name, description) = (name.clone(), description.clone());
            let role = Role { name, rights, description, created_at, revision };
            let place = Key::role(&attempt.keyring.role_mac(role.name.as_str()));
            let mut transaction = Transaction::default();
            transaction.require.push((place.clone(), Expect::Absent));
            transaction.put.push((place, role.seal(&attempt.keyring)?));
            attempt.change_access(&mut transaction)?;
            if let Some(revision) = attempt.commit(transaction).await? {
                return Ok((Role { revision, ..role }, revision));
            }
        }
    }

    /// The roles that people made, by name, and the revision that they are of.
    pub fn list_roles(&self, _grant: &ManagerGrant) -> (Vec<Arc<Role>>, Revision) {
        // The revision is read first: the roles may be newer than it, and never older.
        let revision = self.core.catalog.revision();
        (self.core.catalog.with_policy(|policy| policy.roles().cloned().collect()), revision)
    }

    /// Deletes a role that no binding has.
    pub async fn delete_role(
        &self,
        grant: &ServiceGrant<ManageAccess>,
        name: RoleName,
    ) -> Result<Revision, Error> {
        if name.built_in().is_some() {
            return Err(Error::invalid("name", "must not be the name of a role that is built in"));
        }
        let granted = [grant.granted()];
        let _turn = self.turn(grant.principal()).await;
        let mut attempts =
            self.core.attempts(REQUEST_ATTEMPTS, Authority::Caller(grant.principal(), &granted));
        loop {
            let attempt = attempts.next()?;
            let found = self.core.catalog.with_policy(|policy| {
                policy.role(&name).map(|role| (role.revision, policy.is_in_use(&name)))
            });
            let (revision, in_use) = found.ok_or_else(|| Error::RoleNotFound(name.clone()))?;
            if in_use {
                return Err(Error::RoleInUse(name));
            }
            let place = Key::role(&attempt.keyring.role_mac(name.as_str()));
            let mut transaction = Transaction::default();
            transaction.require.push((place.clone(), Expect::At(revision)));
            transaction.delete.push(place);
            attempt.change_access(&mut transaction)?;
            if let Some(revision) = attempt.commit(transaction).await? {
                return Ok(revision);
            }
        }
    }
}
