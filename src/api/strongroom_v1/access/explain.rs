//! The caller's own identity, and why a decision is as it is.

use super::convert::{api_key, given, right_of, wire_binding, wire_rights};
use crate::api::request::{Call, Fields};
use crate::api::strongroom_v1::proto as v1;
use crate::app::{App, Error, Question};
use crate::auth::{CredentialKind, ManageAccess, NamePattern, NamespacePattern, PrincipalName, Scope};
use crate::domain::{Namespace, SecretName};

pub(super) fn who_am_i(app: &App, call: &Call) -> v1::WhoAmIResponse {
    let principal = call.principal();
    v1::WhoAmIResponse {
        principal: principal.to_string(),
        api_key: match principal.credential() {
            CredentialKind::ApiKey(key) => Some(api_key(app, key)),
            CredentialKind::Certificate(_) | CredentialKind::Token(_) => None,
        },
        rights: wire_rights(app.access.rights_in(principal, principal.home())),
        revision: app.revision().0,
        groups: principal.groups().iter().map(PrincipalName::to_string).collect(),
        home_namespace: principal.home().to_string(),
    }
}

pub(super) fn explain(
    app: &App,
    call: &Call,
    message: &v1::ExplainAccessRequest,
) -> Result<v1::ExplainAccessResponse, Error> {
    let caller = call.principal();
    let mut fields = Fields::default();
    let about = match given(&message.principal) {
        None => Some(caller.name().clone()),
        Some(text) => fields.check("principal", PrincipalName::parse(text)),
    };
    let namespace = given(&message.namespace).map(|text| fields.check("namespace", Namespace::parse(text)));
    let name = given(&message.name).map(|text| fields.check("name", SecretName::parse(text)));
    // The right to ask is decided before the fields are looked at, as far as they are known.
    let of_others = match &about {
        Some(about) if about == caller.name() => None,
        Some(_) | None => {
            let scope = match &namespace {
                Some(Some(namespace)) => {
                    let names =
                        name.iter().flatten().next().map_or_else(NamePattern::every, NamePattern::only);
                    Scope { namespaces: NamespacePattern::Exactly(namespace.clone()), names }
                }
                Some(None) | None => Scope::everything(),
            };
            Some(call.scope_grant::<ManageAccess>(app, scope)?.granted())
        }
    };
    let right = fields.check("right", right_of(message.right));
    const ALONE: &str = "must not be set without namespace";
    fields.require(name.is_none() || namespace.is_some(), "name", ALONE);
    let parsed = (|| {
        let (namespace, name) = (namespace.flatten(), name.flatten());
        Some(Question { about: about?, right: right?, namespace, name })
    })();
    let question = fields.finish(parsed)?;
    call.note(|target| {
        target.namespace = question.namespace.clone();
        target.name = question.name.clone();
        target.subject = Some(question.about.to_string());
    });

    let explained = app.access.explain(caller, of_others.as_ref(), &question);
    Ok(v1::ExplainAccessResponse {
        allowed: explained.allowed,
        binding: explained.binding.as_deref().map(|binding| wire_binding(app, binding)),
        explanation: explained.explanation,
        remedy: explained.remedy,
        revision: explained.revision.0,
    })
}
