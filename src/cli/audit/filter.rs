//! Which records to show: the arguments of `list` and `tail`.

use std::convert::Infallible;

use prost_types::Timestamp;
use strongroom_client::v1;

use crate::api;
use crate::audit::{SEVERAL, is_fingerprint};
use crate::auth::PrincipalName;
use crate::cli::failure::Failure;
use crate::cli::moment::moment;
use crate::domain::{Namespace, SecretName};

/// What the log has for an RPC that does not exist.
const UNKNOWN: &str = "unknown";

/// What the log has in place of a principal: the service itself, and 'key recover'.
const NO_PRINCIPALS: [&str; 2] = ["service", "offline"];

/// The arguments that choose records. A record must match all of them.
#[derive(clap::Args)]
pub(super) struct Filter {
    /// Show only requests of this caller: key:ID, cert:SAN or jwt:ISSUER:SUBJECT, or service for what the service did by itself
    #[arg(long, default_value = "", hide_default_value = true, value_parser = principal)]
    principal: String,

    /// Show only requests of this RPC, such as GetSecret
    #[arg(long, default_value = "", hide_default_value = true, value_parser = rpc)]
    rpc: String,

    /// Show only requests for this namespace
    #[arg(long = "in", value_name = "NAMESPACE", default_value = "", hide_default_value = true, value_parser = namespace)]
    within: String,

    /// Show only requests for the secret of this name, also those of documents that refer to it
    #[arg(long, default_value = "", hide_default_value = true, value_parser = name)]
    name: String,

    /// Show only requests that ended so: ok, or a code such as PERMISSION_DENIED
    #[arg(long, default_value = "", hide_default_value = true, value_parser = outcome)]
    outcome: String,

    /// Show only requests that were refused for this reason, such as ACCESS_DENIED
    #[arg(long, default_value = "", hide_default_value = true, value_parser = reason)]
    reason: String,

    /// Show only the request with this id, which its error and the server's log have too
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true, value_parser = request_id)]
    request_id: String,

    /// Show only what came at or after a time: 2026-01-31 (midnight in UTC), 2026-01-31T12:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,

    /// Show only what came before a time, in the same form
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

impl Filter {
    /// The filter as the service takes it. A filter that no record can match is refused.
    pub(super) fn into_message(self) -> Result<v1::AuditFilter, Failure> {
        let order = |at: Timestamp| (at.seconds, at.nanos);
        if let Some((since, until)) = self.since.zip(self.until)
            && order(since) >= order(until)
        {
            let message =
                format!("--since ({since}) must be before --until ({until}): nothing is between them");
            return Err(Failure::usage(message));
        }
        Ok(v1::AuditFilter {
            principal: self.principal,
            rpc: self.rpc,
            namespace: self.within,
            name: self.name,
            outcome: self.outcome,
            reason: self.reason,
            request_id: self.request_id,
            after: self.since,
            before: self.until,
        })
    }
}

// The parsers also get the default, which is empty: no filter.

/// Reads the name of a caller. The members of a group call under names of their own.
fn principal(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || NO_PRINCIPALS.contains(&text) {
        return Ok(text.to_owned());
    }
    match PrincipalName::parse(text) {
        Ok(PrincipalName::ApiKey(_) | PrincipalName::Certificate(_) | PrincipalName::Token(_)) => {
            Ok(text.to_owned())
        }
        Ok(PrincipalName::Group(_)) | Err(_) => Err(
            "expected a caller: key:ID, where 'strongroom key list' shows the ID, cert:SAN, jwt:ISSUER:SUBJECT or service",
        ),
    }
}

/// Reads the name of an RPC: the full one, or the method alone.
fn rpc(text: &str) -> Result<String, String> {
    let method = |full: &'static str| full.rsplit('/').next().unwrap_or(full);
    let known =
        |full: &'static str| text.is_empty() || full == text || method(full).eq_ignore_ascii_case(text);
    match api::rpc_names().chain([UNKNOWN, SEVERAL]).find(|full| known(full)) {
        Some(full) if !text.contains('/') && !text.is_empty() => Ok(method(full).to_owned()),
        Some(_) => Ok(text.to_owned()),
        None => {
            let all: Vec<_> = api::rpc_names().map(method).collect();
            Err(format!("expected the name of an RPC: {}", all.join(", ")))
        }
    }
}

/// Reads an outcome, in upper or lower case.
fn outcome(text: &str) -> Result<String, String> {
    // The first of the codes is that of success.
    let outcomes = || ["ok"].into_iter().chain(api::CODES.into_iter().skip(1)).chain([SEVERAL]);
    match outcomes().find(|known| text.is_empty() || known.eq_ignore_ascii_case(text)) {
        Some(_) if text.is_empty() => Ok(String::new()),
        Some(known) => Ok(known.to_owned()),
        None => Err(format!("expected one of {}", outcomes().collect::<Vec<_>>().join(", "))),
    }
}

/// Reads a reason, in upper or lower case.
fn reason(text: &str) -> Result<String, String> {
    let reasons = || api::reason_names().chain([SEVERAL]);
    match reasons().find(|known| text.is_empty() || known.eq_ignore_ascii_case(text)) {
        Some(_) if text.is_empty() => Ok(String::new()),
        Some(known) => Ok(known.to_owned()),
        None => Err(format!("expected one of {}", reasons().collect::<Vec<_>>().join(", "))),
    }
}

/// Reads the id of a request. The log has ids with lower-case letters.
fn request_id(text: &str) -> Result<String, Infallible> {
    Ok(uuid::Uuid::try_parse(text).map_or_else(|_| text.to_owned(), |id| id.to_string()))
}

/// Reads the name of a secret, or its fingerprint.
fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || is_fingerprint(text) {
        return Ok(text.to_owned());
    }
    SecretName::parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{error}, or be a fingerprint such as fp:1f2e3d4c5b6a7988"))
}

/// Reads a namespace, or its fingerprint.
fn namespace(text: &str) -> Result<String, String> {
    if text.is_empty() || is_fingerprint(text) {
        return Ok(text.to_owned());
    }
    Namespace::parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{error}, or be a fingerprint such as fp:1f2e3d4c5b6a7988"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_record_can_have_is_refused() {
        for (text, read) in [("permission_denied", "PERMISSION_DENIED"), ("OK", "ok"), ("ok", "ok"), ("", "")]
        {
            assert_eq!(outcome(text).as_deref(), Ok(read));
        }
        assert!(outcome("bogus").unwrap_err().contains("ok, CANCELLED"));
        let full = "strongroom.v1.SecretService/GetSecret";
        for (text, read) in [
            ("GetSecret", "GetSecret"),
            ("getsecret", "GetSecret"),
            (full, full),
            ("unknown", "unknown"),
            (SEVERAL, SEVERAL),
            ("", ""),
        ] {
            assert_eq!(rpc(text).as_deref(), Ok(read));
        }
        for text in ["bogus", "SecretService", "other.v1.SecretService/GetSecret"] {
            assert!(rpc(text).unwrap_err().contains("GetSecret"), "{text}");
        }
        for text in ["", "db_password", "fp:1f2e3d4c5b6a7988"] {
            assert_eq!(name(text).as_deref(), Ok(text));
        }
        for text in ["bad name", "fp:1f", "team/a"] {
            assert!(name(text).is_err(), "{text}");
        }
        assert_eq!(namespace("team/a").as_deref(), Ok("team/a"));
        assert!(namespace("team//a").is_err());
        let id = "0197f3a0-5c1e-7000-8000-4d6f6e657921";
        for (text, read) in [(id, id), (id.to_uppercase().as_str(), id), ("", ""), ("other", "other")] {
            assert_eq!(request_id(text).as_deref(), Ok(read));
        }
        assert_eq!(reason("access_denied").as_deref(), Ok("ACCESS_DENIED"));
        assert_eq!(reason(SEVERAL).as_deref(), Ok(SEVERAL));
        assert_eq!(outcome(SEVERAL).as_deref(), Ok(SEVERAL));
        for text in ["access denied", "Foo"] {
            assert!(reason(text).unwrap_err().contains("ACCESS_DENIED"), "{text}");
        }
        for text in
            ["", "key:abcdefghijklmnop", "cert:ci.example.com", "jwt:corp:alice", "service", "offline"]
        {
            assert_eq!(principal(text).as_deref(), Ok(text));
        }
        for text in ["ci", "key:ci", "group:corp:ops", "other:x", "key:"] {
            assert!(principal(text).unwrap_err().contains("key:ID"), "{text}");
        }
    }
}
