//! Explain a decision: the binding that decided, or what is missing and the command that would grant it.

use std::fmt::Write;
use std::sync::Arc;

use super::AccessControl;
use crate::auth::{Binding, BuiltInRole, Decision, Effect, Granted, Principal, PrincipalName, Right, Scope};
use crate::domain::{Namespace, Revision, SecretName, now};

/// What is asked.
pub struct Question {
    /// The principal that is asked about.
    pub about: PrincipalName,
    /// The right.
    pub right: Right,
    /// The namespace; `None`: the service as a whole.
    pub namespace: Option<Namespace>,
    /// The secret of the namespace; `None`: some secret.
    pub name: Option<SecretName>,
}

/// The answer.
pub struct Explanation {
    /// Whether the principal has the right.
    pub allowed: bool,
    /// The binding that decided; `None` where no binding gives the right.
    pub binding: Option<Arc<Binding>>,
    /// The decision in words.
    pub explanation: String,
    /// The command that would grant the right; empty where the principal has it.
    pub remedy: String,
    /// The store's revision that the answer was read at, or an earlier one.
    pub revision: Revision,
}

impl AccessControl {
    /// Explains whether a principal has a right. `caller` asks; of itself it needs no proof, and of others that it manages access there.
    /// The groups of others are not known.
    pub fn explain(
        &self,
        caller: &Principal,
        _of_others: Option<&Granted>,
        question: &Question,
    ) -> Explanation {
        let itself = *caller.name() == question.about;
        let groups = if itself { caller.groups() } else { &[] };
        let revision = self.core.catalog.revision();
        let object = question.namespace.as_ref().map(|namespace| (namespace, question.name.as_ref()));
        let decision = self
            .core
            .catalog
            .with_policy(|policy| policy.decide(&question.about, groups, question.right, object, now()));
        let mut explanation = decision.explain(question);
        if !itself && matches!(question.about, PrincipalName::Token(_)) {
            explanation.push_str(
                " The groups of this principal are known only when it calls, so their bindings are not part of this answer.",
            );
        }
        let (allowed, binding) = match &decision {
            Decision::Allowed(binding) => (true, Some(binding.clone())),
            Decision::Denied(binding) => (false, Some(binding.clone())),
            Decision::Missing => (false, None),
        };
        Explanation { allowed, binding, explanation, remedy: decision.remedy(question), revision }
    }
}

impl Decision {
    fn explain(&self, Question { about, right, namespace, name }: &Question) -> String {
        let object = match (namespace, name) {
            _ if right.is_of_service() => "the service as a whole".to_owned(),
            (None, _) => "the service as a whole".to_owned(),
            (Some(namespace), None) => format!("some secret of '{namespace}' at least"),
            (Some(namespace), Some(name)) => format!("'{name}' in '{namespace}'"),
        };
        match self {
            Self::Allowed(binding) => {
                format!("{about} has the right '{right}' on {object}. {}", by(binding))
            }
            Self::Denied(binding) => format!(
                "{about} does not have the right '{right}' on {object}. {} A denial wins over every binding that allows.",
                by(binding)
            ),
            Self::Missing => {
                format!("{about} does not have the right '{right}' on {object}: no binding gives it.")
            }
        }
    }

    fn remedy(&self, Question { about, right, namespace, name }: &Question) -> String {
        match self {
            Self::Allowed(_) => String::new(),
            Self::Denied(binding) => format!("strongroom binding remove {}", binding.id),
            Self::Missing => {
                let on = match namespace {
                    Some(namespace) if !right.is_of_service() => namespace.to_string(),
                    Some(_) | None => "**".to_owned(),
                };
                let (principal, role) = (about.to_string(), least(*right).name());
                let mut command = format!(
                    "strongroom binding add --principal {} --role {role} --on {}",
                    quoted(&principal),
                    quoted(&on)
                );
                if let Some(name) = name.as_ref().filter(|_| !right.is_of_service() && namespace.is_some()) {
                    // Writing to a text does not fail.
                    let _ = write!(command, " --name {name}");
                }
                command
            }
        }
    }
}

/// The binding that decided, in a sentence.
fn by(binding: &Binding) -> String {
    let Binding { id, principal, role, scope, effect, expires_at, .. } = binding;
    let what = match effect {
        Effect::Allow => "gives",
        Effect::Deny => "denies",
    };
    let until = expires_at.map(|at| format!(", until {at}")).unwrap_or_default();
    let Scope { namespaces, names } = scope;
    format!(
        "The binding {id} {what} {principal} the role '{role}', which has this right, on the names '{names}' of the namespaces \
         '{namespaces}'{until}."
    )
}

/// The role that is built in, has a right, and has the fewest others.
fn least(right: Right) -> BuiltInRole {
    match right {
        Right::List => BuiltInRole::Viewer,
        Right::Read => BuiltInRole::Reader,
        Right::Write => BuiltInRole::Writer,
        Right::Rotate => BuiltInRole::Rotator,
        Right::Delete => BuiltInRole::Editor,
        Right::ManageAccess => BuiltInRole::AccessAdmin,
        Right::Audit => BuiltInRole::Auditor,
        Right::Operate => BuiltInRole::Operator,
    }
}

/// A word of a shell command.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/_.-@+=,".contains(&byte);
    if word.bytes().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_role_has_the_right_and_commands_are_quoted() {
        for right in Right::ALL {
            assert!(least(right).rights().contains(right), "{right}");
        }
        let question = Question {
            about: PrincipalName::group("corp", "Domain O'Admins").unwrap(),
            right: Right::Operate,
            namespace: None,
            name: None,
        };
        assert_eq!(
            Decision::Missing.remedy(&question),
            "strongroom binding add --principal 'group:corp:Domain O'\\''Admins' --role operator --on '**'"
        );
        let question = Question {
            about: PrincipalName::token("ci", "repo:x").unwrap(),
            right: Right::Read,
            namespace: Some(Namespace::parse("team/a").unwrap()),
            name: Some(SecretName::parse("db").unwrap()),
        };
        assert_eq!(
            Decision::Missing.remedy(&question),
            "strongroom binding add --principal jwt:ci:repo:x --role reader --on team/a --name db"
        );
    }
}
