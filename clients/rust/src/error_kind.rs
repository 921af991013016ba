//! The kinds of errors.

use tonic::Code;

/// The kinds of errors, by what a caller can do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting of the client cannot be used. No request was sent.
    Configuration,
    /// [`Client::close`](crate::Client::close) was called before.
    Closed,
    /// A field of the request is not valid; [`Error::violations`](crate::Error::violations) lists all of them.
    Invalid,
    /// There is no such secret, version, or rotation that is due.
    NotFound,
    /// The name is taken. Nothing was changed.
    AlreadyExists,
    /// The credential is missing, malformed, unknown, revoked or expired.
    Unauthenticated,
    /// No binding gives the caller the right. [`Client::explain`](crate::Client::explain) says why.
    PermissionDenied,
    /// The secret has changed since the `etag`, or others changed it all the time. Read it and decide again.
    Conflict,
    /// The state of the secret or of the version does not allow the call. The reason says why.
    FailedPrecondition,
    /// The service does not keep the changes after this revision any more. Watch again with a snapshot.
    RevisionCompacted,
    /// The stored record was altered or damaged. Restore it from a backup.
    Integrity,
    /// A limit or a quota is reached. The reason and the message say which.
    LimitExceeded,
    /// The service cannot be reached or cannot serve now, and the repeats did not help.
    Unavailable,
    /// No answer came in time. A change may or may not have been made: see [`Error::sent_request_id`](crate::Error::sent_request_id).
    DeadlineExceeded,
    /// The release of the service does not serve the call, or a field of it.
    NotServed,
    /// The call was given up.
    Cancelled,
    /// A defect of the service, or an answer that is not one of Strongroom.
    Internal,
}

impl ErrorKind {
    /// The kind of an error of the service or of the connection.
    pub(crate) fn of(code: Code) -> Self {
        match code {
            Code::InvalidArgument => Self::Invalid,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyExists,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::PermissionDenied => Self::PermissionDenied,
            Code::Aborted => Self::Conflict,
            Code::FailedPrecondition => Self::FailedPrecondition,
            Code::OutOfRange => Self::RevisionCompacted,
            Code::DataLoss => Self::Integrity,
            Code::ResourceExhausted => Self::LimitExceeded,
            Code::Unavailable => Self::Unavailable,
            Code::DeadlineExceeded => Self::DeadlineExceeded,
            Code::Unimplemented => Self::NotServed,
            Code::Cancelled => Self::Cancelled,
            Code::Ok | Code::Unknown | Code::Internal => Self::Internal,
        }
    }
}
