//! What a right is about, as an argument writes it: `NAMESPACE` or `NAMESPACE/NAME`.
//!
//! A namespace can have slashes, and a name can look like a segment of a namespace. So the last segment is read as a name only if it
//! cannot be a segment of a namespace: if it has an upper-case letter, an underscore, or a `*` that is not `**`. For every other name
//! there is `--name`.

use super::failure::Failure;
use super::output::printable;
use crate::auth::{NamePattern, NamespacePattern};

/// A namespace or a pattern of namespaces, and the name of a secret or a pattern of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) namespace: String,
    /// Empty: none was given.
    pub(super) name: String,
}

impl Object {
    /// Reads the object from an argument.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.rsplit_once('/') {
            Some((namespace, name)) if is_name(name) => (namespace, name),
            Some(_) => (text, ""),
            None if is_name(text) => {
                return Err("expected a namespace in front of the name: NAMESPACE/NAME".to_owned());
            }
            None => (text, ""),
        };
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Reads the scope of a binding from an argument. The service would accept both of its patterns. An empty text is refused
    /// elsewhere, as with every option.
    pub(super) fn parse_scope(text: &str) -> Result<Self, String> {
        let scope = Self::parse(text)?;
        if text.is_empty() {
            return Ok(scope);
        }
        NamespacePattern::parse(&scope.namespace)
            .map_err(|error| format!("the namespace '{}' {error}", printable(&scope.namespace)))?;
        if !scope.name.is_empty() {
            NamePattern::parse(&scope.name)
                .map_err(|error| format!("the name '{}' {error}", printable(&scope.name)))?;
        }
        Ok(scope)
    }

    /// The same object with the name of `--name`, where that is given.
    pub(super) fn with_name(mut self, name: Option<String>) -> Result<Self, Failure> {
        match name {
            Some(_) if !self.name.is_empty() => {
                Err(Failure::usage(format!("the name is given twice: leave '/{}' or --name out", self.name)))
            }
            Some(name) => {
                self.name = name;
                Ok(self)
            }
            None => Ok(self),
        }
    }
}

/// Whether a segment can be a name or a pattern of names, and nothing of a namespace.
fn is_name(segment: &str) -> bool {
    segment != "**" && segment.contains(|c: char| c.is_ascii_uppercase() || c == '_' || c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segment_is_a_name_only_if_it_cannot_be_a_segment_of_a_namespace() {
        for (text, namespace, name) in [
            ("team/ci/db_password", "team/ci", "db_password"),
            ("team/ci/TOKEN", "team/ci", "TOKEN"),
            ("team/ci/db_*", "team/ci", "db_*"),
            ("team/ci/*", "team/ci", "*"),
            ("team/ci", "team/ci", ""),
            ("team/**", "team/**", ""),
            ("team/**/db_*", "team/**", "db_*"),
            ("**", "**", ""),
            ("default", "default", ""),
        ] {
            let read = Object::parse(text).unwrap();
            assert_eq!((read.namespace.as_str(), read.name.as_str()), (namespace, name), "{text}");
        }
        assert!(Object::parse("db_password").is_err());
        assert!(Object::parse("team/db_password").unwrap().with_name(Some("x".into())).is_err());
        assert_eq!(Object::parse("team").unwrap().with_name(Some("x".into())).ok().unwrap().name, "x");
    }

    #[test]
    fn the_part_of_a_scope_that_is_wrong_is_named() {
        for (text, told) in [
            ("team/ci/deploy-*", "the name 'deploy-*' must be the name of a secret, in which '*'"),
            ("team/ci/a_**", "the name 'a_**' must be"),
            ("team//ci/db_*", "the namespace 'team//ci' must be a namespace"),
            ("team/**/ci", "the namespace 'team/**/ci' must be"),
            ("team/ ci", "the namespace 'team/ ci' must be"),
            ("db_*", "expected a namespace in front of the name"),
        ] {
            let error = Object::parse_scope(text).unwrap_err();
            assert!(error.starts_with(told), "{text}: {error}");
        }
        for text in ["team/ci", "team/**", "**", "team/ci/db_*", "**/TOKEN"] {
            assert_eq!(Object::parse_scope(text), Object::parse(text), "{text}");
        }
    }
}
