//! Errors of requests: the service's refusals, and failed connections.

use std::fmt;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::{ErrorDetails, StatusExt};

use crate::error_kind::ErrorKind;
pub use crate::v1::ErrorReason;

/// The domain of the service's own reasons, in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "strongroom";

/// Why a request failed.
///
/// Branch on [`reason`](Self::reason), never on the text. Neither `Display` nor `Debug` ever shows a value: the service's
/// messages have none, and the failed request is not kept.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    status: Status,
    details: ErrorDetails,
    message: String,
    violations: Vec<Violation>,
    origin: Origin,
    sent_request_id: Option<String>,
}

/// Who made an error.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The service, or something else that answered.
    Answer,
    /// The connection failed, or no answer came in time.
    Connection,
    /// The settings of the client cannot be used.
    Configuration,
    /// The client is closed.
    Closed,
}

/// A field of the request that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, such as `name`; for a place in a document its JSON Pointer (RFC 6901) behind the field, such as
    /// `document/steps/0/expression`.
    pub field: String,
    /// What is wrong with it, and what to do.
    pub description: String,
}

impl Error {
    /// The service's reason. `None` where the error came without one, or with one that this release does not know: then
    /// branch on [`code`](Self::code).
    pub fn reason(&self) -> Option<ErrorReason> {
        ErrorReason::from_str_name(&format!("ERROR_REASON_{}", self.reason_name()?))
    }

    /// The service's reason as it was sent, such as `SECRET_NOT_FOUND`, also where this release does not know it.
    pub fn reason_name(&self) -> Option<&str> {
        let info = self.0.details.error_info().filter(|info| info.domain == DOMAIN)?;
        Some(info.reason.as_str()).filter(|reason| !reason.is_empty())
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self.0.origin {
            Origin::Configuration => ErrorKind::Configuration,
            Origin::Closed => ErrorKind::Closed,
            Origin::Answer | Origin::Connection => ErrorKind::of(self.code()),
        }
    }

    /// The gRPC status code. A connection that failed is `UNAVAILABLE`.
    pub fn code(&self) -> Code {
        match (self.0.origin, self.0.status.code()) {
            (Origin::Connection, Code::DeadlineExceeded) => Code::DeadlineExceeded,
            (Origin::Connection, _) => Code::Unavailable,
            (_, code) => code,
        }
    }

    /// What happened, and what to do next, for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Everything that is wrong with the request; empty where the service named no fields.
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// The resource that the error is about, where the service names it: a secret as `namespace/name`, or the id of an API
    /// key.
    pub fn resource(&self) -> Option<&str> {
        self.0.details.resource_info().map(|resource| resource.resource_name.as_str())
    }

    /// How long to wait before the request is sent again, where the service says it.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.details.retry_info()?.retry_delay
    }

    /// The service's own id of the request, which its log and its audit records use.
    pub fn request_id(&self) -> Option<&str> {
        self.0.details.request_info().map(|info| info.request_id.as_str()).filter(|id| !id.is_empty())
    }

    /// The `request_id` that the change was sent with. Where it is not known whether the change was made
    /// (`DEADLINE_EXCEEDED`, `UNAVAILABLE`), the same request with this id gives the first outcome.
    pub fn sent_request_id(&self) -> Option<&str> {
        self.0.sent_request_id.as_deref()
    }

    /// The status as it came, for details that have no method here.
    pub fn status(&self) -> &Status {
        &self.0.status
    }

    /// Whether the connection failed, so that the error is not the service's: nothing listens at the address, or something
    /// else than the service does, or no answer came in time.
    pub fn is_of_the_connection(&self) -> bool {
        self.0.origin == Origin::Connection
    }

    /// Whether the same request can succeed later.
    ///
    /// True where the service or the connection is not available (`UNAVAILABLE`), where the service has too much to do
    /// (`RESOURCE_EXHAUSTED`, but not for a message that is too large or a quota), and where other writers won the race for the same
    /// secret (`CONTENDED`).
    pub fn is_transient(&self) -> bool {
        match (self.0.origin, self.code()) {
            (Origin::Configuration | Origin::Closed, _) => false,
            (_, Code::Unavailable) => true,
            (_, Code::ResourceExhausted) => match (self.reason_name(), self.reason()) {
                (_, Some(ErrorReason::TooManyRequests)) | (None, _) => true,
                (_, Some(ErrorReason::MessageTooLarge | ErrorReason::QuotaExceeded)) => false,
                _ => self.retry_delay().is_some(),
            },
            _ => self.reason() == Some(ErrorReason::Contended),
        }
    }

    /// Whether no connection was there, so that the request was certainly not sent.
    pub(crate) fn was_not_sent(&self) -> bool {
        let cause = std::error::Error::source(&self.0.status);
        self.is_of_the_connection()
            && cause.is_some_and(|cause| cause_of::<tonic::ConnectError>(cause).is_some())
    }

    /// Whether the service gave the error neither a reason nor an id: then something else has answered, or an older release.
    pub(crate) fn is_of_another(&self) -> bool {
        self.0.origin == Origin::Answer && self.reason_name().is_none() && self.request_id().is_none()
    }

    /// The same error, with another message.
    pub(crate) fn with_message(mut self, message: String) -> Self {
        self.0.message = message;
        self
    }

    /// The error of a setting that cannot be used, which shows only at a call.
    pub(crate) fn configuration(message: String) -> Self {
        Self::new(Status::failed_precondition(message.clone()), message, Origin::Configuration)
    }

    /// The error of a call after [`Client::close`](crate::Client::close).
    pub(crate) fn closed() -> Self {
        let message = "the client is closed: make a new one".to_owned();
        Self::new(Status::cancelled(message.clone()), message, Origin::Closed)
    }

    /// The error of a request that had no answer in the time allowed.
    pub(crate) fn no_answer_within(allowed: Duration) -> Self {
        let message = format!("no answer came within {allowed:?}");
        Self::new(Status::deadline_exceeded(message.clone()), message, Origin::Connection)
    }

    /// The error of one item of a reply.
    pub(crate) fn of_item(status: &tonic_types::pb::Status) -> Self {
        let details = prost::Message::encode_to_vec(status).into();
        Status::with_details(Code::from_i32(status.code), status.message.clone(), details).into()
    }

    /// The error of an item that has neither a secret nor an error.
    pub(crate) fn of_empty_item() -> Self {
        Status::internal("the service sent neither a secret nor an error").into()
    }

    /// The same error, for a change that was sent with this id.
    pub(crate) fn of_request(mut self, request_id: Option<String>) -> Self {
        self.0.sent_request_id = request_id;
        self
    }

    /// The same error of a call. If that was to change something and no answer came, the change may have been made.
    pub(crate) fn of_call(mut self, changes: bool) -> Self {
        if changes && self.is_of_the_connection() && self.code() == Code::DeadlineExceeded {
            self.0.message.push_str(": the change may or may not have been made");
        }
        self
    }

    fn new(status: Status, message: String, origin: Origin) -> Self {
        let details = status.get_error_details();
        let refused = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        let violation = |refused: &tonic_types::FieldViolation| Violation {
            field: refused.field.clone(),
            description: refused.description.clone(),
        };
        let violations = refused.iter().map(violation).collect();
        Self(Box::new(Inner { status, details, message, violations, origin, sent_request_id: None }))
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        // The service gives every error a reason. A status with a cause and no reason was made by the connection.
        let cause = std::error::Error::source(&status);
        let of_the_connection = cause.is_some() && status.get_details_error_info().is_none();
        let timed_out = cause.is_some_and(|cause| cause_of::<TimeoutExpired>(cause).is_some());
        if timed_out {
            let message = "no answer came in time".to_owned();
            return Self::new(Status::deadline_exceeded(message.clone()), message, Origin::Connection);
        }
        let message = match (cause, status.message()) {
            (Some(cause), _) if of_the_connection => format!("the connection failed: {}", causes(cause)),
            (_, "") => format!("the service answered {:?} and said no more", status.code()),
            (_, message) => message.to_owned(),
        };
        Self::new(status, message, if of_the_connection { Origin::Connection } else { Origin::Answer })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind())
            .field("code", &self.code())
            .field("reason", &self.reason_name())
            .field("message", &self.message())
            .field("request_id", &self.request_id())
            .field("sent_request_id", &self.sent_request_id())
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0.status)
    }
}

/// The error of this type in the chain of causes.
fn cause_of<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error with all that caused it.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let said = deeper.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code, reason: &str, domain: &str) -> Error {
        let mut details = ErrorDetails::with_error_info(reason, domain, []);
        details.set_request_info("0197f3a0", "");
        details.set_resource_info("strongroom.v1.Secret", "default/a", "", "");
        details.set_retry_info(Some(Duration::from_secs(2)));
        details.add_bad_request_violation("name", "must be a name");
        details.add_bad_request_violation("metadata", "must have keys");
        Status::with_error_details(code, "These fields are not acceptable.", details).into()
    }

    #[test]
    fn an_error_has_every_detail_that_the_service_sent() {
        let error = refused(Code::InvalidArgument, "VALIDATION_FAILED", "strongroom");
        assert_eq!(error.reason(), Some(ErrorReason::ValidationFailed));
        assert_eq!(error.reason_name(), Some("VALIDATION_FAILED"));
        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(error.to_string(), "These fields are not acceptable.");
        assert_eq!(error.request_id(), Some("0197f3a0"));
        assert_eq!(error.resource(), Some("default/a"));
        assert_eq!(error.retry_delay(), Some(Duration::from_secs(2)));
        let name = Violation { field: "name".into(), description: "must be a name".into() };
        let metadata = Violation { field: "metadata".into(), description: "must have keys".into() };
        assert_eq!(error.violations(), [name, metadata]);
        assert!(!error.is_of_the_connection());
    }

    #[test]
    fn every_reason_of_the_contract_is_known() {
        let mut known = 0;
        for reason in (1..).map_while(|number| ErrorReason::try_from(number).ok()) {
            let name = reason.as_str_name().strip_prefix("ERROR_REASON_").unwrap();
            assert_eq!(refused(Code::Unknown, name, "strongroom").reason(), Some(reason));
            known += 1;
        }
        assert!(known >= 28, "{known}");
    }

    #[test]
    fn a_reason_of_a_later_release_is_named_and_one_of_others_is_none() {
        let later = refused(Code::NotFound, "BINDING_MISLAID", "strongroom");
        assert_eq!((later.reason(), later.reason_name()), (None, Some("BINDING_MISLAID")));
        let other = refused(Code::NotFound, "SECRET_NOT_FOUND", "example.com");
        assert_eq!((other.reason(), other.reason_name()), (None, None));
        let none = Error::from(Status::not_found("gone"));
        assert_eq!((none.reason(), none.request_id(), none.retry_delay()), (None, None, None));
        assert!(none.violations().is_empty());
    }

    #[test]
    fn an_error_without_a_message_gets_one() {
        let error = Error::from(Status::internal(""));
        assert_eq!(error.to_string(), "the service answered Internal and said no more");
        assert!(!error.is_of_the_connection());
    }

    #[test]
    fn an_error_of_the_connection_names_its_causes_and_can_be_tried_again() {
        let cause = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset by peer");
        let error = Error::from(Status::from_error(Box::new(cause)));
        assert!(error.is_of_the_connection() && error.is_transient());
        assert_eq!(error.to_string(), "the connection failed: reset by peer");
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn a_time_that_ran_out_is_deadline_exceeded() {
        for error in [
            Error::from(Status::from_error(Box::new(TimeoutExpired(())))),
            Error::no_answer_within(Duration::from_secs(30)),
        ] {
            assert_eq!(error.code(), Code::DeadlineExceeded);
            assert!(!error.is_transient());
            let error = error.of_call(false);
            assert!(!error.to_string().contains("may or may not"), "{error}");
            let change = error.of_call(true).to_string();
            assert!(change.ends_with(": the change may or may not have been made"), "{change}");
        }
        let refused = Error::from(Status::deadline_exceeded("The deadline passed."));
        assert_eq!(refused.of_call(true).to_string(), "The deadline passed.");
    }

    #[test]
    fn an_error_is_small_and_can_cross_threads() {
        fn crosses<T: Send + Sync + 'static>() -> usize {
            size_of::<T>()
        }
        assert_eq!(crosses::<Error>(), size_of::<usize>());
    }
}
