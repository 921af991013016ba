//! Why a call to a member of etcd fails, whether another member may succeed, and what somebody has to do about it.

use std::error::Error as _;

use etcd_client::Error;
use tonic::{Code, ConnectError};

use crate::store::{Unavailable, UnavailableCause};

/// Why a call did not succeed.
pub(super) enum CallFailure {
    /// The member could not be reached.
    Unsent(String),
    /// No answer within the time limit.
    Silent,
    /// The connection broke, or the member cannot serve for now.
    Broken(String),
    /// The member has no valid login from this client, and has done nothing.
    LoggedOut,
    /// etcd takes no changes, for want of space.
    Full,
    /// etcd knows the login no more, or gives it too few rights: why.
    Denied(String),
    /// etcd refuses the call, and every member would.
    Refused(String),
    /// The member is none of this cluster, or too old: which, and what to do.
    Stranger(String),
    /// The login to the member failed.
    Told(Unavailable),
}

impl CallFailure {
    pub(super) fn of(error: Error) -> Self {
        let Error::GRpcStatus(status) = error else { return Self::Broken(cause_of(&error)) };
        let mut source = status.source();
        while let Some(cause) = source {
            if cause.is::<ConnectError>() {
                return Self::Unsent(cause_of(cause));
            }
            source = cause.source();
        }
        // The same message has different codes in different releases of etcd.
        let text = status.message();
        let unknown = ["user name is empty", "invalid auth token", "revision of auth store is old"];
        if status.code() == Code::Unauthenticated || unknown.iter().any(|unknown| text.contains(unknown)) {
            return Self::LoggedOut;
        }
        if text.contains("database space exceeded") {
            return Self::Full;
        }
        let denied = text.contains("authentication failed") || status.code() == Code::PermissionDenied;
        let text = text.chars().take(200).collect();
        if denied {
            return Self::Denied(text);
        }
        match status.code() {
            Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled | Code::DeadlineExceeded => {
                Self::Broken(text)
            }
            _ => Self::Refused(text),
        }
    }

    /// Whether another member may succeed.
    pub(super) fn is_the_members(&self) -> bool {
        match self {
            Self::Unsent(_) | Self::Silent | Self::Broken(_) | Self::Stranger(_) => true,
            Self::LoggedOut | Self::Full | Self::Denied(_) | Self::Refused(_) | Self::Told(_) => false,
        }
    }

    pub(super) fn of_member(self, url: &str) -> Unavailable {
        let (cause, text) = match self {
            Self::Unsent(why) => {
                (UnavailableCause::Passing, format!("etcd at {url} cannot be reached: {why}"))
            }
            Self::Silent => (UnavailableCause::Passing, format!("etcd at {url} does not answer")),
            Self::Broken(why) => {
                (UnavailableCause::Passing, format!("etcd at {url} does not answer as it should: {why}"))
            }
            Self::LoggedOut => (UnavailableCause::Login, format!("etcd at {url} does not keep the login")),
            Self::Full => {
                let text = format!(
                    "etcd at {url} is full, and takes no changes: compact and defragment it, or raise its \
                     --quota-backend-bytes, and then run `etcdctl alarm disarm`"
                );
                (UnavailableCause::Full, text)
            }
            Self::Denied(why) => {
                let text = format!(
                    "etcd at {url} refused the login or its rights: {why}. Check --etcd-user, its password file, which is read \
                     again at each login, and its right to read and write the keys with the prefix"
                );
                (UnavailableCause::Login, text)
            }
            Self::Refused(why) => (UnavailableCause::Passing, format!("etcd at {url} refused: {why}")),
            Self::Stranger(why) => (UnavailableCause::Settings, why),
            Self::Told(why) => return why,
        };
        Unavailable::because(cause, text)
    }
}

/// The innermost cause of an error.
pub(super) fn cause_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
