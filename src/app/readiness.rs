//! Whether requests are served now, and if not, why. The server finds out, and health, readiness and the status tell it.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::store::UnavailableCause;

/// Why requests are refused now, in the order in which causes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnreadyCause {
    /// The server is starting.
    Loading,
    /// The server is stopping.
    Stopping,
    /// The store does not answer, or the catalog does not follow it.
    Store,
    /// The store takes no changes until somebody makes room.
    StoreFull,
    /// The store does not take the login of this server.
    StoreLogin,
    /// The store is not the one that this server has served.
    OtherHistory,
    /// The clock of this server differs from those of the other servers over its store.
    Clock,
    /// The audit log cannot be written.
    AuditLog,
}

impl UnreadyCause {
    /// All causes.
    pub const ALL: [Self; 8] = [
        Self::Loading,
        Self::Stopping,
        Self::Store,
        Self::StoreFull,
        Self::StoreLogin,
        Self::OtherHistory,
        Self::Clock,
        Self::AuditLog,
    ];

    /// The name of the cause, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Stopping => "stopping",
            Self::Store => "store",
            Self::StoreFull => "store_full",
            Self::StoreLogin => "store_login",
            Self::OtherHistory => "other_history",
            Self::Clock => "clock",
            Self::AuditLog => "audit_log",
        }
    }
}

impl From<UnavailableCause> for UnreadyCause {
    fn from(cause: UnavailableCause) -> Self {
        match cause {
            UnavailableCause::Passing
            | UnavailableCause::Behind
            | UnavailableCause::Stopping
            | UnavailableCause::Settings => Self::Store,
            UnavailableCause::Full => Self::StoreFull,
            UnavailableCause::Login => Self::StoreLogin,
            UnavailableCause::OtherHistory => Self::OtherHistory,
            UnavailableCause::Clock => Self::Clock,
        }
    }
}

/// The cause in plain words, without anything that only an operator may know.
impl fmt::Display for UnreadyCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loading => "the server is starting, and has not loaded its store yet",
            Self::Stopping => "the server is stopping",
            Self::Store => "the store cannot serve",
            Self::StoreFull => "the store is full, and takes no changes",
            Self::StoreLogin => "the store does not accept this server",
            Self::OtherHistory => "the store is not the one that this server has served",
            Self::Clock => {
                "the clock of this server differs from those of the others, or could not be compared with them, so it makes no changes"
            }
            Self::AuditLog => "the audit log cannot be written",
        })
    }
}

/// A cause, and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unready {
    /// The cause.
    pub cause: UnreadyCause,
    /// What is known about it, for an operator; empty: no more than the cause.
    pub detail: String,
}

/// The state of a server as its callers see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadyState {
    /// Why requests are refused, in order; empty: they are served.
    pub unready: Vec<Unready>,
    /// Whether the audit log is not as it was written, so that it cannot be read with confidence. Other requests are served.
    pub audit_log_broken: bool,
}

impl ReadyState {
    /// Whether requests are served.
    pub fn is_ready(&self) -> bool {
        self.unready.is_empty()
    }

    /// Whether the server is stopping.
    pub fn is_stopping(&self) -> bool {
        self.unready.iter().any(|unready| unready.cause == UnreadyCause::Stopping)
    }
}

/// Whether requests are served now. All clones are of the same server.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<watch::Sender<ReadyState>>);

impl Default for Readiness {
    /// Of a server that serves.
    fn default() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }
}

impl Readiness {
    /// Of a server that is starting.
    pub fn loading() -> Self {
        let readiness = Self::default();
        readiness.note(UnreadyCause::Loading, Some(String::new()));
        readiness
    }

    /// Notes a cause with what is known about it; `None`: the cause is gone. Returns whether that is new.
    pub fn note(&self, cause: UnreadyCause, detail: Option<String>) -> bool {
        self.0.send_if_modified(|state| {
            let place = state.unready.binary_search_by_key(&cause, |unready| unready.cause);
            match (place, detail) {
                (Ok(at), Some(detail)) => {
                    if let Some(unready) = state.unready.get_mut(at) {
                        unready.detail = detail;
                    }
                    false
                }
                (Err(at), Some(detail)) => {
                    state.unready.insert(at, Unready { cause, detail });
                    true
                }
                (Ok(at), None) => {
                    state.unready.remove(at);
                    true
                }
                (Err(_), None) => false,
            }
        })
    }

    /// The same, and tells the log of each change.
    pub fn note_and_log(&self, cause: UnreadyCause, detail: Option<String>) {
        let why = detail.clone();
        if !self.note(cause, detail) {
            return;
        }
        match why {
            Some(why) => tracing::warn!(cause = cause.name(), why, "requests are refused: {cause}"),
            None => tracing::info!(cause = cause.name(), "this cause for refusing requests is gone"),
        }
    }

    /// Notes whether the audit log is not as it was written.
    pub fn note_audit_log(&self, broken: bool) {
        self.0.send_if_modified(|state| std::mem::replace(&mut state.audit_log_broken, broken) != broken);
    }

    /// The present state.
    pub fn state(&self) -> ReadyState {
        self.0.borrow().clone()
    }

    /// The state as it changes.
    pub fn changes(&self) -> watch::Receiver<ReadyState> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_come_and_go_and_are_told_in_order() {
        let readiness = Readiness::loading();
        let causes = || -> Vec<_> {
            readiness
                .state()
                .unready
                .into_iter()
                .map(|unready| (unready.cause.name(), unready.detail))
                .collect()
        };
        assert!(readiness.note(UnreadyCause::AuditLog, Some("the disk is full".into())));
        assert!(readiness.note(UnreadyCause::Store, Some("one".into())));
        assert!(!readiness.note(UnreadyCause::Store, Some("two".into())));
        let named = |cause: &'static str, detail: &str| (cause, detail.to_owned());
        let all = [named("loading", ""), named("store", "two"), named("audit_log", "the disk is full")];
        assert_eq!(causes(), all);
        assert!(!readiness.note(UnreadyCause::Stopping, None));
        for cause in [UnreadyCause::Loading, UnreadyCause::Store, UnreadyCause::AuditLog] {
            assert!(!readiness.state().is_ready());
            assert!(readiness.note(cause, None));
        }
        assert!(readiness.state().is_ready());
    }

    #[test]
    fn a_change_of_a_detail_wakes_nobody() {
        let readiness = Readiness::default();
        let mut changes = readiness.changes();
        readiness.note(UnreadyCause::Store, Some("one".into()));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        readiness.note(UnreadyCause::Store, Some("two".into()));
        assert!(!changes.has_changed().unwrap());
        readiness.note_audit_log(true);
        assert!(changes.has_changed().unwrap());
    }
}
