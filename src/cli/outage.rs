//! Notes on standard error while the service cannot be asked: one when that begins and one when it is over, however often a command
//! that runs for long tries meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use strongroom_client::{Code, Error, Watch};

use super::failure::note;
use super::output::printable;

/// Whether the service cannot be asked now, as far as the user was told. Its clones are one.
#[derive(Clone, Default)]
pub(super) struct Outage(Arc<AtomicBool>);

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
        if self.0.swap(true, Ordering::SeqCst) {
            return;
        }
        let what = match error.code() {
            Code::Unauthenticated => {
                "the API key is refused, and this is tried again in case its file gets another key"
            }
            _ => "the service cannot be asked, and this is tried again",
        };
        note(&format!("{what}: {}", printable(&error.to_string())));
    }

    /// An attempt succeeded.
    pub(super) fn is_over(&self) {
        if self.0.swap(false, Ordering::SeqCst) {
            note("the service answers again");
        }
    }
}
