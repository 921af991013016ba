//! The watch that keeps a namespace of a cache fresh.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::space::Space;
use crate::error::{Error, ErrorReason};
use crate::error_kind::ErrorKind;
use crate::v1::{SecretEvent, SecretEventType, WatchSecretsRequest};
use crate::watch::{Step, Turn, passes};

/// After a watch was refused, the next one begins at a read, and not before this time has passed.
const WATCH_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Space {
    /// Starts the watch unless it runs. The answer tells when the watch follows the namespace, or cannot. `None`: there is no watch
    /// for now.
    pub(super) fn follow(self: &Arc<Self>) -> Option<watch::Receiver<bool>> {
        let shared = self.shared.upgrade()?;
        let mut state = self.write();
        if let Some(watching) = &state.watching {
            return Some(watching.clone());
        }
        if state.refused_at.is_some_and(|refused| refused.elapsed() < WATCH_AGAIN_AFTER) {
            return None;
        }
        let (decided, watching) = watch::channel(false);
        state.watching = Some(watching.clone());
        drop(state);
        let space = self.clone();
        shared.begin(async move { space.watch(decided).await });
        Some(watching)
    }

    /// Follows the namespace until the service refuses to tell more, or the client is closed.
    async fn watch(self: Arc<Self>, decided: watch::Sender<bool>) {
        let mut watch = self.client.secrets().watch(WatchSecretsRequest::default());
        let ended = loop {
            match watch.turn().await {
                Ok(Turn::Step(Step::Event(event))) => self.apply(*event),
                Ok(Turn::Step(Step::Bookmark(bookmark))) => {
                    if bookmark.synced {
                        self.synced(bookmark.revision);
                        decided.send_replace(true);
                    }
                }
                Ok(Turn::Step(Step::Restarted)) => self.empty(),
                Ok(Turn::Lost(error)) => {
                    self.lost(error.as_ref());
                    decided.send_replace(true);
                }
                Err(error) => break error,
            }
        };
        if ended.kind() == ErrorKind::Unauthenticated {
            self.empty_all();
        }
        let mut state = self.write();
        (state.watching, state.follows, state.lost_since) = (None, false, None);
        state.refused_at = Some(Instant::now());
        state.drop_all();
    }

    /// Notes that all changes up to this revision are known.
    fn synced(self: &Arc<Self>, revision: u64) {
        let mut state = self.write();
        (state.follows, state.lost_since) = (true, None);
        state.seen = state.seen.max(revision);
        let outdated = state.outdated();
        drop(state);
        for name in outdated {
            self.begin_read(&name);
        }
    }

    /// Notes that a stream has ended. When its connection was lost, the entries become stale; when the service has ended it for a
    /// reason, they may be what the caller may not know any more.
    fn lost(&self, error: Option<&Error>) {
        let connection =
            error.is_none_or(|error| passes(error) && error.reason() != Some(ErrorReason::Contended));
        let mut state = self.write();
        if !connection {
            state.drop_all();
        }
        state.lost_since.get_or_insert_with(Instant::now);
    }

    /// Does what an event asks for.
    fn apply(self: &Arc<Self>, event: SecretEvent) {
        let kind = event.r#type();
        let SecretEvent { secret, former_name, revision, .. } = event;
        let secret = secret.unwrap_or_default();
        let mut state = self.write();
        state.seen = state.seen.max(revision);
        state.changed(&secret.name, revision);
        if let Some(former) = &former_name {
            state.changed(former, revision);
        }
        let again = match kind {
            SecretEventType::Rotated | SecretEventType::Updated => state.outdate(&secret.name),
            // The value that can be read is the same, or there was none.
            SecretEventType::Staged
            | SecretEventType::RotationDue
            | SecretEventType::RotationFailed
            | SecretEventType::Expiring
            | SecretEventType::Created
            | SecretEventType::Undeleted
            | SecretEventType::Snapshot => false,
            SecretEventType::Renamed
            | SecretEventType::VersionChanged
            | SecretEventType::Deleted
            | SecretEventType::Purged
            | SecretEventType::Expired
            | SecretEventType::Removed
            | SecretEventType::Unspecified => {
                state.drop_id(&secret.id);
                false
            }
        };
        drop(state);
        if again {
            self.begin_read(&secret.name);
        }
    }
}
