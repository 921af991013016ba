//! The RPCs about roles.

use super::convert::{right_of, wire_rights, wire_role};
use crate::api::request::{Call, Fields};
use crate::api::strongroom_v1::proto as v1;
use crate::app::{App, Error};
use crate::auth::{BuiltInRole, ManageAccess, Rights, RoleName};
use crate::domain::{Description, Invalid};

pub(super) async fn create_role(
    app: &App,
    call: &Call,
    message: &v1::CreateRoleRequest,
) -> Result<v1::CreateRoleResponse, Error> {
    let grant = call.service_grant(app)?;
    let mut fields = Fields::default();
    let name = fields.check("name", RoleName::parse(&message.name));
    const RESERVED: &str = "must not be none, which stands for no role";
    fields.require(message.name != RoleName::NONE, "name", RESERVED);
    const NO_RIGHTS: Invalid = Invalid::new("must have at least one right, and only rights of this service");
    let rights: Option<Rights> = message.rights.iter().map(|right| right_of(*right).ok()).collect();
    let rights = fields.check("rights", rights.filter(|rights| !rights.is_empty()).ok_or(NO_RIGHTS));
    let description = fields.check("description", Description::parse(&message.description));
    let parsed = (|| Some((name?, rights?, description?)))();
    let (name, rights, description) = fields.finish(parsed)?;
    call.note(|target| target.subject = Some(name.to_string()));

    let (role, revision) = app.access.create_role(&grant, name, rights, description).await?;
    Ok(v1::CreateRoleResponse { role: Some(wire_role(&role)), revision: revision.0 })
}

pub(super) fn list_roles(app: &App, call: &Call) -> Result<v1::ListRolesResponse, Error> {
    let grant = call.somewhere_grant::<ManageAccess>(app)?;
    let (roles, revision) = app.access.list_roles(&grant);
    let built_in = BuiltInRole::ALL.into_iter().map(|role| v1::Role {
        name: role.name().to_owned(),
        rights: wire_rights(role.rights()),
        description: role.description().to_owned(),
        built_in: true,
        created_at: None,
    });
    let items = built_in.chain(roles.iter().map(|role| wire_role(role))).collect();
    Ok(v1::ListRolesResponse { items, revision: revision.0 })
}

pub(super) async fn delete_role(
    app: &App,
    call: &Call,
    message: &v1::DeleteRoleRequest,
) -> Result<v1::DeleteRoleResponse, Error> {
    let grant = call.service_grant(app)?;
    let mut fields = Fields::default();
    let name = fields.check("name", RoleName::parse(&message.name));
    let name = fields.finish(name)?;
    call.note(|target| target.subject = Some(name.to_string()));

    let revision = app.access.delete_role(&grant, name).await?;
    Ok(v1::DeleteRoleResponse { revision: revision.0 })
}
