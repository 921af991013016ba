//! Why a document's references cannot be resolved: the problem that matters most, and the place of each one.

use super::{Code, Reason, Refusal};
use crate::domain::Namespace;
use crate::reference::{Problem, ProblemKind};

/// The most bytes of details. Clients take at least 8 KiB of headers, where the details must fit in.
const MAX_DETAILS: usize = 2048;

pub(super) fn unresolved(namespace: &Namespace, problems: &[Problem]) -> Refusal {
    let mut refusal = worst(namespace, problems);
    let mut bytes = 0;
    let told = problems.iter().map(|problem| (field(problem), problem.to_string()));
    refusal.details.fields = told
        .take_while(|(field, description)| {
            let first = bytes == 0;
            bytes += field.len() + description.len();
            first || bytes <= MAX_DETAILS
        })
        .collect();
    refusal
}

/// The problem that matters most: a bound that was exceeded, an expression that is wrong, a secret that is missing, and
/// last a secret without a value.
fn worst(namespace: &Namespace, problems: &[Problem]) -> Refusal {
    let find = |wanted: fn(&ProblemKind) -> bool| problems.iter().find(|problem| wanted(&problem.kind));
    let told = |problem: &Problem| format!("At {}: {problem}", field(problem));
    if let Some(costly) = find(|kind| matches!(kind, ProblemKind::TooCostly(_))) {
        return Refusal::new(Code::InvalidArgument, Reason::ReferenceTooCostly, told(costly));
    }
    let invalid = |message| Refusal::new(Code::InvalidArgument, Reason::ReferenceInvalid, message);
    if let Some(problem) = find(is_invalid) {
        return invalid(told(problem));
    }
    let missing = find(|kind| matches!(kind, ProblemKind::MissingSecret(_)));
    let Some(problem) = missing.or(problems.first()) else {
        return invalid("The document cannot be resolved.".to_owned());
    };
    match &problem.kind {
        ProblemKind::MissingSecret(name) => {
            Refusal::new(Code::NotFound, Reason::SecretNotFound, told(problem)).of_secret(namespace, name)
        }
        ProblemKind::SecretExpired(name) => {
            Refusal::new(Code::FailedPrecondition, Reason::SecretExpired, told(problem))
                .of_secret(namespace, name)
        }
        ProblemKind::VersionDisabled(name, version) => {
            Refusal::new(Code::FailedPrecondition, Reason::VersionDisabled, told(problem))
                .of_version(namespace, name, *version)
        }
        ProblemKind::VersionDestroyed(name, version) => {
            Refusal::new(Code::FailedPrecondition, Reason::VersionDestroyed, told(problem))
                .of_version(namespace, name, *version)
        }
        _ => invalid(told(problem)),
    }
}

fn field(problem: &Problem) -> String {
    format!("document{}", problem.place)
}

/// Whether the document itself is wrong, and not its cost or the secrets that it names.
fn is_invalid(kind: &ProblemKind) -> bool {
    match kind {
        ProblemKind::Syntax { .. }
        | ProblemKind::NotSupported(_)
        | ProblemKind::UnknownName
        | ProblemKind::NoInput
        | ProblemKind::NotASecretName
        | ProblemKind::Type(_)
        | ProblemKind::Value(_)
        | ProblemKind::Binary => true,
        ProblemKind::MissingSecret(_)
        | ProblemKind::SecretExpired(_)
        | ProblemKind::VersionDisabled(..)
        | ProblemKind::VersionDestroyed(..)
        | ProblemKind::TooCostly(_) => false,
    }
}
