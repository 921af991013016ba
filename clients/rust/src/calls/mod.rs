//! The calls of a [`Client`](crate::Client): each is a builder with its options, and is sent when it is awaited.

mod access;
mod documents;
mod list;
mod namespaces;
mod rotation;
mod secrets;
mod versions;
mod watch;

pub use access::{Explain, Explanation, Identity};
pub use documents::{Credential, Reference, Resolve, ResolvedDocument};
pub use list::{List, SecretList};
pub use namespaces::{ListNamespaces, NamespaceList};
pub use rotation::{Claim, ClaimedRotation, Promote, Release, Rotate, Stage, StagedVersion};
pub use secrets::{BatchGet, BatchItem, Create, Delete, Get, Undelete, Update};
pub use versions::{Acknowledge, ChangeVersion, DestroyVersion, DestroyedVersion, Versions};
pub use watch::{Event, Events, WatchChanges, WatchEvent};

use std::future::Future;
use std::pin::Pin;

use crate::error::Error;

/// A call that was sent.
pub(crate) type Sent<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Lets a call be awaited: `$send` makes its result from the client and the request.
macro_rules! awaited {
    ($call:ty => $result:ty, $send:expr) => {
        impl std::future::IntoFuture for $call {
            type Output = Result<$result, crate::error::Error>;
            type IntoFuture = crate::calls::Sent<$result>;

            fn into_future(self) -> Self::IntoFuture {
                let Self { client, request } = self;
                Box::pin(async move { $send(client, request).await })
            }
        }
    };
}
pub(crate) use awaited;

/// The options that several calls have.
macro_rules! option {
    ($($option:ident)*) => { $( crate::calls::option!(@ $option); )* };
    (@ min_revision) => {
        /// The oldest revision to answer from: that of an earlier reply, such as [`Secret::read_at`](crate::Secret::read_at).
        pub fn min_revision(mut self, revision: u64) -> Self {
            self.request.min_revision = revision;
            self
        }
    };
    (@ consistency) => {
        /// How new the answer must be. With [`Consistency::Cached`](crate::Consistency::Cached), a replica over etcd answers without
        /// asking etcd first, and the answer can lack the changes of the last seconds.
        pub fn consistency(mut self, consistency: crate::Consistency) -> Self {
            self.request.consistency = consistency.into();
            self
        }
    };
    (@ request_id) => {
        /// A UUID that you choose for this change: the service makes a change with the same id once in 24 hours. Without it, the client
        /// chooses one for each call. Choose one yourself to make a change again after a crash.
        pub fn request_id(mut self, id: impl Into<String>) -> Self {
            self.request.request_id = id.into();
            self
        }
    };
    (@ etag) => {
        /// Make the change only if the secret still has this [`etag`](crate::Secret::etag); otherwise the call fails with
        /// `ETAG_MISMATCH`.
        pub fn etag(mut self, etag: impl Into<String>) -> Self {
            self.request.etag = etag.into();
            self
        }
    };
    (@ claim) => {
        /// The claim that must still hold; see [`Client::claim_rotation`](crate::Client::claim_rotation).
        pub fn claim(mut self, claim_id: impl Into<String>) -> Self {
            self.request.claim_id = claim_id.into();
            self
        }
    };
    (@ grace_period) => {
        /// How long the former version stays readable by its number, 0 to 10 years; then it is disabled.
        pub fn grace_period(mut self, grace: std::time::Duration) -> Self {
            self.request.grace_period = Some(crate::generator::span(grace));
            self
        }
    };
    (@ return_value) => {
        /// Return the value that the service generates, once: a repeat of the call gets it left out.
        pub fn return_value(mut self) -> Self {
            self.request.return_value = true;
            self
        }
    };
    (@ name_prefix) => {
        /// Only secrets whose name begins with this text, case-sensitive.
        pub fn name_prefix(mut self, prefix: impl Into<String>) -> Self {
            self.request.name_prefix = prefix.into();
            self
        }
    };
    (@ matching) => {
        /// Only secrets whose metadata has this pair exactly. Several pairs must all match.
        pub fn matching(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
            self.request.metadata.insert(key.into(), value.into());
            self
        }
    };
    (@ metadata_only) => {
        /// Leave the value out. The right `list` is then enough.
        pub fn metadata_only(mut self) -> Self {
            self.request.view = crate::v1::View::Metadata.into();
            self
        }
    };
}
pub(crate) use option;
