//! API keys, roles, bindings and rights as messages.

use crate::api::strongroom_v1::convert::timestamp;
use crate::api::strongroom_v1::proto as v1;
use crate::app::App;
use crate::auth::{ApiKey, Binding, Effect, Right, Rights, Role};
use crate::domain::Invalid;

/// The text of a field; `None` where it is empty.
pub(super) fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

pub(super) fn api_key(app: &App, key: &ApiKey) -> v1::ApiKey {
    v1::ApiKey {
        id: key.id.to_string(),
        name: key.name.as_str().to_owned(),
        home_namespace: key.home.to_string(),
        root: key.root,
        created_at: Some(timestamp(key.created_at)),
        expires_at: key.expires_at.map(timestamp),
        revoked_at: key.revoked_at.map(timestamp),
        rotated_at: key.rotated_at.map(timestamp),
        last_used_at: app.access.last_used(key.id).map(timestamp),
    }
}

pub(super) fn wire_role(role: &Role) -> v1::Role {
    v1::Role {
        name: role.name.to_string(),
        rights: wire_rights(role.rights),
        description: role.description.as_str().to_owned(),
        built_in: false,
        created_at: Some(timestamp(role.created_at)),
    }
}

pub(super) fn wire_binding(app: &App, binding: &Binding) -> v1::Binding {
    let effect = match binding.effect {
        Effect::Allow => v1::Effect::Allow,
        Effect::Deny => v1::Effect::Deny,
    };
    v1::Binding {
        id: binding.id.to_string(),
        principal: binding.principal.to_string(),
        role: binding.role.to_string(),
        namespace_pattern: binding.scope.namespaces.to_string(),
        name_pattern: binding.scope.names.to_string(),
        effect: effect.into(),
        created_at: Some(timestamp(binding.created_at)),
        expires_at: binding.expires_at.map(timestamp),
        description: binding.description.as_str().to_owned(),
        last_used_at: app.access.binding_last_used(binding.id).map(timestamp),
    }
}

pub(super) fn wire_rights(rights: Rights) -> Vec<i32> {
    rights.iter().map(|right| wire_right(right).into()).collect()
}

fn wire_right(right: Right) -> v1::Right {
    match right {
        Right::List => v1::Right::List,
        Right::Read => v1::Right::Read,
        Right::Write => v1::Right::Write,
        Right::Rotate => v1::Right::Rotate,
        Right::Delete => v1::Right::Delete,
        Right::ManageAccess => v1::Right::ManageAccess,
        Right::Audit => v1::Right::Audit,
        Right::Operate => v1::Right::Operate,
    }
}

/// The right of a message.
pub(super) fn right_of(number: i32) -> Result<Right, Invalid> {
    match v1::Right::try_from(number) {
        Ok(v1::Right::List) => Ok(Right::List),
        Ok(v1::Right::Read) => Ok(Right::Read),
        Ok(v1::Right::Write) => Ok(Right::Write),
        Ok(v1::Right::Rotate) => Ok(Right::Rotate),
        Ok(v1::Right::Delete) => Ok(Right::Delete),
        Ok(v1::Right::ManageAccess) => Ok(Right::ManageAccess),
        Ok(v1::Right::Audit) => Ok(Right::Audit),
        Ok(v1::Right::Operate) => Ok(Right::Operate),
        Ok(v1::Right::Unspecified) | Err(_) => {
            Err(Invalid::new("must be a right of this service, such as RIGHT_READ"))
        }
    }
}
