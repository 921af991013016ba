//! Turns an async function that is called again and again into a stream.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

type Turn<S, T> = Pin<Box<dyn Future<Output = (S, T)> + Send>>;

/// A state that gives one result after the other.
pub(crate) struct Turns<S, T>(State<S, T>);

enum State<S, T> {
    Resting(S),
    Running(Turn<S, T>),
    /// Only while a turn begins.
    Between,
}

impl<S, T> Turns<S, T> {
    pub(crate) fn new(state: S) -> Self {
        Self(State::Resting(state))
    }

    /// The next result. `begin` begins a turn, which gives the state back with its result. A turn that is under way is continued by the
    /// next call.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, begin: impl FnOnce(S) -> Turn<S, T>) -> Poll<T> {
        let mut turn = match std::mem::replace(&mut self.0, State::Between) {
            State::Resting(state) => begin(state),
            State::Running(turn) => turn,
            // A turn has panicked.
            State::Between => return Poll::Pending,
        };
        match turn.as_mut().poll(context) {
            Poll::Ready((state, result)) => {
                self.0 = State::Resting(state);
                Poll::Ready(result)
            }
            Poll::Pending => {
                self.0 = State::Running(turn);
                Poll::Pending
            }
        }
    }
}

/// The next item of a stream.
pub(crate) async fn next<S: futures_core::Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| Poll::Ready(ready!(Pin::new(&mut *stream).poll_next(context)))).await
}
