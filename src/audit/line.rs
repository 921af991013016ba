//! A record as the audit log has it: one line with a JSON object. `docs/format.md` describes every field.

use std::borrow::Cow;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::refusals::Sum;
use super::{AccessFields, Names, Record, Target};
use crate::domain::Timestamp;

/// The size of most lines, at most.
const USUAL_SIZE: usize = 768;

/// The fields of a line, in their order. Those without a value are left out. No field holds a value of a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line<'a> {
    /// When the request was answered, in RFC 3339.
    pub time: Cow<'a, str>,
    /// What the log itself says, in place of a request: for example `log_begun`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Cow<'a, str>>,
    /// The caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Cow<'a, str>>,
    /// The address that the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Cow<'a, str>>,
    /// The RPC's full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpc: Option<Cow<'a, str>>,
    /// The namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Cow<'a, str>>,
    /// The secret's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    /// The version that was read or made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Another object of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Cow<'a, str>>,
    /// The access that the request gives or takes away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessFields>,
    /// The secrets that a document's references read, each as `NAME@VERSION`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// The secrets that the references name and that have no value to read: at most ten of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_read: Vec<String>,
    /// How many those are, where not all are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_read_size: Option<u64>,
    /// `ok`, or the gRPC code's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Cow<'a, str>>,
    /// The reason of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// How many refusals the record stands for, where it is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusals: Option<u64>,
    /// Their reasons, each with its count, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Cow<'a, str>>,
    /// The id of the request that the server made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Cow<'a, str>>,
    /// The id of the last of several refusals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_request_id: Option<Cow<'a, str>>,
    /// The caller's own id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_request_id: Option<Cow<'a, str>>,
    /// The id of the trace that the request belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Cow<'a, str>>,
    /// The number of the first record that is still in a file, in the record of a removal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_before: Option<u64>,
    /// More about an event, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Cow<'a, str>>,
}

/// The event of the first record of a log.
pub const LOG_BEGUN: &str = "log_begun";
/// The event of the first record after the log could not be written for some time.
pub const LOG_RESUMED: &str = "log_resumed";
/// The event of a start that found records behind the newest checkpoint. Its detail says which.
pub const UNSIGNED_RECORDS: &str = "unsigned_records";
/// The event that says that files were removed, because the retention is over.
pub const FILES_REMOVED: &str = "files_removed";
/// The event that says how many refusals have no record.
pub const REFUSALS_DROPPED: &str = "refusals_dropped";

impl<'a> Line<'a> {
    /// What the log says of itself.
    pub fn event(event: &'a str, at: Timestamp) -> Self {
        Self { time: text_of(at).into(), event: Some(event.into()), ..Self::default() }
    }

    /// The line of a request, with names as they are to be shown.
    pub fn of(record: &'a Record, names: &Names, at: Timestamp) -> Self {
        let Record {
            principal,
            peer,
            rpc,
            target,
            referenced,
            outcome,
            reason,
            request_id,
            caller_request_id,
            trace_id,
        } = record;
        let Target { namespace, name, version, .. } = target;
        let borrowed = |text: &'a Option<String>| text.as_deref().map(Cow::Borrowed);
        Self {
            time: text_of(at).into(),
            principal: borrowed(principal),
            peer: peer.map(|peer| peer.to_string().into()),
            rpc: Some((*rpc).into()),
            namespace: namespace.as_ref().map(|namespace| names.namespace(namespace)),
            name: name.as_ref().map(|name| names.secret(name)),
            version: *version,
            subject: target.subject(names),
            access: target.access.as_ref().map(|access| access.fields(names)),
            read: referenced.read_names(names).collect(),
            not_read: referenced.not_read_names(names).collect(),
            not_read_size: referenced.not_read_size().and_then(|size| u64::try_from(size).ok()),
            outcome: Some((*outcome).into()),
            reason: reason.map(Cow::Borrowed),
            request_id: Some(request_id.into()),
            caller_request_id: borrowed(caller_request_id),
            trace_id: borrowed(trace_id),
            ..Self::default()
        }
    }

    /// The line of the refusals of a peer. One refusal has the line of any other request.
    pub(super) fn of_sum(sum: &'a Sum, names: &Names, at: Timestamp) -> Self {
        if sum.size == 1 {
            return Self::of(&sum.first, names, at);
        }
        let Sum { peer, size, first, rpc, outcome, last_request_id, .. } = sum;
        Self {
            time: text_of(at).into(),
            principal: first.principal.as_deref().map(Cow::Borrowed),
            peer: Some(peer.to_string().into()),
            rpc: Some((*rpc).into()),
            subject: first.target.subject(names),
            outcome: Some((*outcome).into()),
            reason: sum.reason().map(Cow::Borrowed),
            refusals: Some(*size),
            reasons: sum.reasons().map(Cow::Owned),
            request_id: Some(first.request_id.as_str().into()),
            last_request_id: Some(last_request_id.as_str().into()),
            ..Self::default()
        }
    }

    /// The text, with its line feed. JSON writes a line feed within a text as an escape, so there is no other.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(USUAL_SIZE);
        let _ = serde_json::to_writer(&mut text, self); // numbers and texts can always be written
        text.push(b'\n');
        text
    }

    /// Reads a line without its line feed. `None`: it is no record.
    pub fn parse(text: &[u8]) -> Option<Line<'static>> {
        serde_json::from_slice(text).ok()
    }
}

/// The text of a time, in a buffer that is large enough at once.
fn text_of(at: Timestamp) -> String {
    let mut text = String::with_capacity(32);
    let _ = write!(text, "{at}"); // writing to a String cannot fail
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Referenced;
    use crate::domain::{Namespace, SecretName};

    #[test]
    fn a_line_has_its_fields_in_their_order_and_is_read_as_it_was_written() {
        let name = |text: &str| SecretName::parse(text).unwrap();
        let record = Record {
            principal: Some("key:abc".into()),
            peer: Some("192.0.2.1:5".parse().unwrap()),
            rpc: "strongroom.v1.SecretService/GetSecret",
            target: Target {
                namespace: Some(Namespace::parse("team/a").unwrap()),
                name: Some(name("A")),
                version: Some(3),
                subject: None,
                new_name: None,
                access: None,
            },
            referenced: Referenced {
                read: vec![(name("B"), 1), (name("C"), 2)],
                not_read: vec![(name("D"), None), (name("E"), Some(7))],
            },
            outcome: "ok",
            reason: None,
            request_id: "id".into(),
            caller_request_id: Some("x\",\n\"principal\":\"key:root".into()),
            trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        };
        let line = Line::of(&record, &Names::Plain, Timestamp::from_micros(0));
        let text = String::from_utf8(line.to_text()).unwrap();
        let expected = r#"{"time":"1970-01-01T00:00:00.000000Z","principal":"key:abc","peer":"192.0.2.1:5","rpc":"strongroom.v1.SecretService/GetSecret","namespace":"team/a","name":"A","version":3,"read":["B@1","C@2"],"not_read":["D","E@7"],"outcome":"ok","request_id":"id","caller_request_id":"x\",\n\"principal\":\"key:root","trace_id":"0af7651916cd43dd8448eb211c80319c"}"#;
        assert_eq!(text, format!("{expected}\n"));
        assert_eq!(Line::parse(text.trim_end().as_bytes()).unwrap(), line);
    }
}
