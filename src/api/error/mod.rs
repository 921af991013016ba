//! Errors as callers see them, on every wire: a code, a reason, a sentence for people, and details for programs. Each wire
//! puts a [`Refusal`] into its own form; `strongroom_v1::status` does so for gRPC.

mod explain;
mod limit;
mod unresolved;

use std::time::Duration;

use crate::domain::{Namespace, SecretName};
use crate::store::UnavailableCause;

/// When to try again after an error that passes.
const RETRY: Duration = Duration::from_secs(1);

/// Why a request is refused or has failed.
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) reason: Reason,
    /// One sentence: the problem, and what to do.
    pub(super) message: String,
    pub(super) details: Details,
}

/// The details of an error, for programs. Each part has its counterpart in `google.rpc`.
#[derive(Default)]
pub(super) struct Details {
    /// The fields that are refused, each with what to do (`BadRequest`).
    pub(super) fields: Vec<(String, String)>,
    /// The type and the name of the resource that the error is about (`ResourceInfo`).
    pub(super) resource: Option<(&'static str, String)>,
    /// The version that has no value to read (`PreconditionFailure`): a violation with the reason as its type.
    pub(super) precondition: Option<(String, &'static str)>,
    /// The limit that was exceeded: its subject and its description (`QuotaFailure`).
    pub(super) quota: Option<(&'static str, String)>,
    /// When to try again (`RetryInfo`).
    pub(super) retry_after: Option<Duration>,
    /// The name of the cause, where one reason has several (metadata of `ErrorInfo`).
    pub(super) cause: Option<&'static str>,
}

/// A canonical code of `google.rpc.Code`, as gRPC and many HTTP APIs have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

impl Code {
    /// The code's name, as audit records have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

/// Declares the reasons and their names, which are the contract: `ErrorReason` of `error.proto` has them too.
macro_rules! reasons {
    ($($reason:ident $name:literal,)*) => {
        /// Why a request failed, for programs. `error.proto` says what each one means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Reason {
            $($reason,)*
        }

        impl Reason {
            /// All reasons.
            pub(super) const ALL: &[Self] = &[$(Self::$reason,)*];

            /// The reason's name, as errors and audit records have it.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }
        }
    };
}

reasons! {
    ValidationFailed "VALIDATION_FAILED",
    RequestIdReused "REQUEST_ID_REUSED",
    SecretNotFound "SECRET_NOT_FOUND",
    VersionNotFound "VERSION_NOT_FOUND",
    SecretAlreadyExists "SECRET_ALREADY_EXISTS",
    CredentialMissing "CREDENTIAL_MISSING",
    CredentialInvalid "CREDENTIAL_INVALID",
    CredentialExpired "CREDENTIAL_EXPIRED",
    AccessDenied "ACCESS_DENIED",
    EtagMismatch "ETAG_MISMATCH",
    Contended "CONTENDED",
    IntegrityFailure "INTEGRITY_FAILURE",
    MessageTooLarge "MESSAGE_TOO_LARGE",
    StoreUnavailable "STORE_UNAVAILABLE",
    NotServed "NOT_SERVED",
    ApiKeyNotFound "API_KEY_NOT_FOUND",
    LastAdministrator "LAST_ADMINISTRATOR",
    Internal "INTERNAL",
    AuditUnavailable "AUDIT_UNAVAILABLE",
    DeadlineExceeded "DEADLINE_EXCEEDED",
    ReferenceInvalid "REFERENCE_INVALID",
    ReferenceTooCostly "REFERENCE_TOO_COSTLY",
    BackupInvalid "BACKUP_INVALID",
    TooManyRequests "TOO_MANY_REQUESTS",
    VersionDisabled "VERSION_DISABLED",
    VersionDestroyed "VERSION_DESTROYED",
    NamespaceNotFound "NAMESPACE_NOT_FOUND",
    MasterKeyNotRenewed "MASTER_KEY_NOT_RENEWED",
    QuotaExceeded "QUOTA_EXCEEDED",
    BindingNotFound "BINDING_NOT_FOUND",
    RoleNotFound "ROLE_NOT_FOUND",
    RoleAlreadyExists "ROLE_ALREADY_EXISTS",
    RoleInUse "ROLE_IN_USE",
    IssuerUnavailable "ISSUER_UNAVAILABLE",
    SecretExpired "SECRET_EXPIRED",
    VersionPending "VERSION_PENDING",
    RotationPending "ROTATION_PENDING",
    ClaimLost "CLAIM_LOST",
    NoRotationDue "NO_ROTATION_DUE",
    RevisionCompacted "REVISION_COMPACTED",
    WatchLagged "WATCH_LAGGED",
}

/// The names of all reasons, as errors and audit records have them.
pub(crate) fn reason_names() -> impl Iterator<Item = &'static str> {
    Reason::ALL.iter().map(|reason| reason.name())
}

impl Reason {
    /// The reason of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }
}

impl Refusal {
    fn new(code: Code, reason: Reason, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Details::default() }
    }

    /// The bytes of a request are no message of its RPC.
    pub(super) fn malformed() -> Self {
        let message =
            "The request is not a message of this RPC: generate the client from the service's proto files.";
        Self::new(Code::InvalidArgument, Reason::ValidationFailed, message)
    }

    /// A message is larger than [`MAX_MESSAGE`](super::MAX_MESSAGE).
    pub(super) fn too_large() -> Self {
        let message = "The message is larger than 1 MiB: send less.";
        let mut refusal = Self::new(Code::ResourceExhausted, Reason::MessageTooLarge, message);
        refusal.details.quota = Some(("message", "A message is at most 1 MiB.".to_owned()));
        refusal
    }

    /// The headers are larger than the gate takes.
    pub(super) fn headers_too_large() -> Self {
        let message = "The headers of the request are larger than 16 KiB: send less metadata.";
        let mut refusal = Self::new(Code::ResourceExhausted, Reason::MessageTooLarge, message);
        refusal.details.quota = Some(("headers", "The headers of a request are at most 16 KiB.".to_owned()));
        refusal
    }

    /// The connection has enough requests to health and reflection under way.
    pub(super) fn too_many_open() -> Self {
        let message = "Too many requests to health and reflection are under way on this connection: wait for one of them \
                       to end.";
        Self::new(Code::ResourceExhausted, Reason::TooManyRequests, message).that_passes()
    }

    /// A watcher has not taken what was sent in time.
    pub(super) fn too_slow() -> Self {
        let message =
            "The records were not taken in time, so the stream ended: watch again from the next index.";
        Self::new(Code::ResourceExhausted, Reason::TooManyRequests, message).that_passes()
    }

    /// There is no such RPC, or not in the encoding of the request.
    pub(super) fn no_such_rpc() -> Self {
        let message = "This server does not serve that RPC, or not in that encoding.";
        Self::new(Code::Unimplemented, Reason::NotServed, message)
    }

    /// The server has begun, and does not serve yet.
    pub(super) fn loading() -> Self {
        let message = "The server is starting, and has not loaded its store yet: try again.";
        Self::of_store("loading", message)
    }

    /// The store cannot serve.
    pub(super) fn store_unavailable_because(cause: UnavailableCause) -> Self {
        let message = match cause {
            UnavailableCause::Passing => "The store cannot serve now: try again.",
            UnavailableCause::Stopping => "The server is stopping: try again, or another server.",
            UnavailableCause::Behind => {
                "This server has not reached the revision that the request needs: try again."
            }
            UnavailableCause::Full => {
                "The store is full, so no change was made: ask the operator to make room. Reads are answered."
            }
            UnavailableCause::Login => {
                "The store does not accept this server: ask the operator to look at the log of the server."
            }
            UnavailableCause::OtherHistory => {
                "The store is not the one that this server has served, so nothing is answered: ask the operator to look at the \
                 log of the server."
            }
            UnavailableCause::Clock => {
                "The clock of this server differs from those of other servers, or could not be compared with them: try again, or \
                 another server, or ask the operator to set the clocks."
            }
            UnavailableCause::Settings => {
                "This server cannot use its store with the settings that it has: ask the operator to look at the log of the server."
            }
        };
        Self::of_store(cause.name(), message)
    }

    fn of_store(cause: &'static str, message: &str) -> Self {
        let mut refusal = Self::new(Code::Unavailable, Reason::StoreUnavailable, message).that_passes();
        refusal.details.cause = Some(cause);
        refusal
    }

    /// The answer was not ready in time.
    pub(super) fn late() -> Self {
        let message = "The deadline passed before the answer was ready.";
        Self::new(Code::DeadlineExceeded, Reason::DeadlineExceeded, message)
    }

    /// A defect of the server, of which the caller learns nothing.
    pub(super) fn defect() -> Self {
        let message = "The server failed: its log says more under the request id.";
        Self::new(Code::Internal, Reason::Internal, message)
    }

    /// The same for the request of a change, of which it is not certain whether the change was made.
    pub(super) fn of_a_change(mut self) -> Self {
        self.message.push_str(" The change may or may not have been made.");
        self
    }

    fn of_resource(mut self, kind: &'static str, name: String) -> Self {
        self.details.resource = Some((kind, name));
        self
    }

    fn of_secret(self, namespace: &Namespace, name: &SecretName) -> Self {
        self.of_resource("strongroom.v1.Secret", format!("{namespace}/{name}"))
    }

    fn of_version(mut self, namespace: &Namespace, name: &SecretName, version: u32) -> Self {
        let subject = format!("{namespace}/{name}/versions/{version}");
        self.details.precondition = Some((subject, "This version has no value to read."));
        self
    }

    fn with_field(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.details.fields.push((field.into(), description.into()));
        self
    }

    fn that_passes(mut self) -> Self {
        self.details.retry_after = Some(RETRY);
        self
    }
}
