//! The access that a request gives or takes away, as records have it.

use serde::{Deserialize, Serialize};

use super::Names;
use crate::domain::{Namespace, SecretName, Timestamp};

/// The access that a request gives or takes away, in validated parts.
#[derive(Debug, Clone)]
pub struct Access {
    /// Who has it; `None` where the subject of the record says so.
    pub principal: Option<String>,
    /// The role.
    pub role: String,
    /// The namespace of the pattern of namespaces, where it has one.
    pub namespace: Option<Namespace>,
    /// What the pattern has behind the namespace.
    pub below: &'static str,
    /// The pattern of names.
    pub names: String,
    /// `allow` or `deny`.
    pub effect: &'static str,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// The same in a line of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessFields {
    /// Who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The role.
    pub role: String,
    /// The pattern of namespaces.
    pub namespaces: String,
    /// The pattern of names.
    pub names: String,
    /// `allow` or `deny`.
    pub effect: String,
    /// When it ends, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl Access {
    /// The fields, with names as they are to be shown.
    pub(super) fn fields(&self, names: &Names) -> AccessFields {
        let namespace = self.namespace.as_ref().map(|namespace| names.namespace(namespace));
        AccessFields {
            principal: self.principal.clone(),
            role: self.role.clone(),
            namespaces: format!("{}{}", namespace.unwrap_or_default(), self.below),
            names: shown(&self.names, names),
            effect: self.effect.to_owned(),
            expires_at: self.expires_at.map(|at| at.to_string()),
        }
    }
}

/// A pattern of names. Where names are fingerprints, a pattern with letters around its `*` shows only that it is one.
fn shown(pattern: &str, names: &Names) -> String {
    match (names, SecretName::parse(pattern)) {
        (Names::Plain, _) => pattern.to_owned(),
        (Names::Fingerprints(_), Ok(name)) => names.secret(&name).into_owned(),
        (Names::Fingerprints(_), Err(_)) if pattern == "*" => pattern.to_owned(),
        (Names::Fingerprints(_), Err(_)) => "fp:*".to_owned(),
    }
}

impl AccessFields {
    /// The fields as a text.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // texts can always be written
    }
}
