//! Notes on standard error while the service cannot be asked: one when that begins, one when the reason becomes a refused key, and one
//! when it is over, however often a command that runs for long tries meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use strongroom_client::{Code, Error, Watch};

use super::failure::note;
use super::output::printable;

/// Whether the service cannot be asked now, as far as the user was told. Its clones are one.
#[derive(Clone, Default)]
pub(super) struct Outage(Arc<AtomicU8>);

/// What the user was told last.
const NOTHING: u8 = 0;
const AWAY: u8 = 1;
const REFUSED: u8 = 2;

impl Outage {
    /// Tells the user where an attempt of the watch is the first one that fails, or the first one that succeeds again.
    pub(super) fn told_of(&self, watch: Watch) -> Watch {
        let outage = self.clone();
        watch.each_attempt(move |failed| match failed {
            Some(error) => outage.lasts(error),
            None => outage.is_over(),
        })
    }

    /// An attempt failed, and there will be another one.
    pub(super) fn lasts(&self, error: &Error) {
        let (told, what) = match error.code() {
            Code::Unauthenticated => {
                (REFUSED, "the API key is refused, and this is tried again in case its file gets another key")
            }
            _ => (AWAY, "the service cannot be asked, and this is tried again"),
        };
        if self.0.fetch_max(told, Ordering::SeqCst) >= told {
            return;
        }
        note(&format!("{what}: {}", printable(&error.to_string())));
    }

    /// Whether the user was told, and it is not over.
    pub(super) fn is_told(&self) -> bool {
        self.0.load(Ordering::SeqCst) != NOTHING
    }

    /// An attempt succeeded.
    pub(super) fn is_over(&self) {
        if self.0.swap(NOTHING, Ordering::SeqCst) != NOTHING {
            note("the service answers again");
        }
    }
}
