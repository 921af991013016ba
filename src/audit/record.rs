//! The audit's records.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::{Access, Names};
use crate::domain::{Namespace, SecretName};

/// A request that was answered. Its time is that of the log event.
#[derive(Debug, Clone)]
pub struct Record {
    /// The caller; `None` where it was not established.
    pub principal: Option<String>,
    /// The address that the request came from.
    pub peer: Option<SocketAddr>,
    /// The RPC's full name, such as `strongroom.v1.SecretService/GetSecret`.
    pub rpc: &'static str,
    /// The object of the request.
    pub target: Target,
    /// The secrets that the references of the request's document name.
    pub referenced: Referenced,
    /// `ok`, or the gRPC code's name, such as `NOT_FOUND`.
    pub outcome: &'static str,
    /// The reason of the error, such as `SECRET_NOT_FOUND`.
    pub reason: Option<&'static str>,
    /// The id of the request, which an error's `google.rpc.RequestInfo` also has.
    pub request_id: String,
    /// The caller's own id of the request: text of the caller, who may have chosen it to look like something else.
    pub caller_request_id: Option<String>,
    /// The id of the trace that the request belongs to, in hex digits, where it is traced.
    pub trace_id: Option<String>,
}

/// The object of a request, as far as it is known. It is filled in as the request is understood, and only with validated
/// fields, since any field could hold a value by mistake.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The namespace.
    pub namespace: Option<Namespace>,
    /// The secret's name.
    pub name: Option<SecretName>,
    /// The version that was read or made.
    pub version: Option<u32>,
    /// Another object: an API key's id, or the result of a long operation.
    pub subject: Option<String>,
    /// The name that the request gives to the secret. Records have it as the subject.
    pub new_name: Option<SecretName>,
    /// The access that the request gives or takes away.
    pub access: Option<Box<Access>>,
}

impl Target {
    /// The other object, as records have it.
    pub(super) fn subject(&self, names: &Names) -> Option<Cow<'_, str>> {
        match (&self.new_name, &self.subject) {
            (Some(new_name), _) => Some(names.secret(new_name)),
            (None, subject) => subject.as_deref().map(Cow::Borrowed),
        }
    }
}

/// The secrets that the references of a document name.
#[derive(Debug, Clone, Default)]
pub struct Referenced {
    /// Those whose values were read, each with its version.
    pub read: Vec<(SecretName, u32)>,
    /// Those that have no value to read, each with its version, or that do not exist.
    pub not_read: Vec<(SecretName, Option<u32>)>,
}

/// How many of the secrets that were not read a record names.
const NOT_READ_NAMES: usize = 10;

impl Referenced {
    /// All secrets that were read, each for example as `db_password@1`.
    pub(super) fn read_names(&self, names: &Names) -> impl Iterator<Item = String> {
        self.read.iter().map(|(name, version)| format!("{}@{version}", names.secret(name)))
    }

    /// The first of the secrets that were not read, each for example as `absent` or `disabled@2`.
    pub(super) fn not_read_names(&self, names: &Names) -> impl Iterator<Item = String> {
        self.not_read.iter().take(NOT_READ_NAMES).map(|(name, version)| match version {
            Some(version) => format!("{}@{version}", names.secret(name)),
            None => names.secret(name).into_owned(),
        })
    }

    /// How many secrets were not read, where a record does not name all of them.
    pub(super) fn not_read_size(&self) -> Option<usize> {
        Some(self.not_read.len()).filter(|&size| size > NOT_READ_NAMES)
    }
}

/// The names in one text, for example `billing_key@3,db_password@1`.
pub(super) fn joined(names: impl Iterator<Item = String>) -> Option<String> {
    let names: Vec<_> = names.collect();
    if names.is_empty() { None } else { Some(names.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_that_was_read_is_named_and_the_others_are_counted() {
        let name = |n: usize| SecretName::parse(&format!("n{n}")).unwrap();
        let read = |referenced: &Referenced| joined(referenced.read_names(&Names::Plain));
        let not_read = |referenced: &Referenced| joined(referenced.not_read_names(&Names::Plain));
        let none = Referenced::default();
        assert_eq!((read(&none), not_read(&none), none.not_read_size()), (None, None, None));
        let some = Referenced {
            read: vec![(name(1), 1), (name(2), 77)],
            not_read: vec![(name(3), None), (name(4), Some(2))],
        };
        assert_eq!(read(&some).as_deref(), Some("n1@1,n2@77"));
        assert_eq!(not_read(&some).as_deref(), Some("n3,n4@2"));
        assert_eq!(some.not_read_size(), None);
        let many = Referenced {
            read: (0..1000).map(|n| (name(n), 1)).collect(),
            not_read: (0..1000).map(|n| (name(n), None)).collect(),
        };
        assert_eq!(read(&many).unwrap().split(',').count(), 1000);
        assert_eq!(not_read(&many).unwrap().split(',').count(), NOT_READ_NAMES);
        assert_eq!(many.not_read_size(), Some(1000));
    }
}
