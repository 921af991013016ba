//! What a right is about, as an argument writes it: `NAMESPACE` or `NAMESPACE/NAME`.
//!
//! A namespace can have slashes, and a name can look like a segment of a namespace. So the last segment is read as a name only if it
//! cannot be a segment of a namespace: if it has an upper-case letter, an underscore, or a `*` that is not `**`. For every other name
//! there is `--name`.

use super::failure::Failure;

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
}
