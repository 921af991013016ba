//! Turns an async function that is called again and again into a stream: of its results, or of the items of the pages that it reads.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::error::Error;

pub(crate) type Turn<S, T> = Pin<Box<dyn Future<Output = (S, T)> + Send>>;

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

/// The items of a page; `None` behind the last page.
pub(crate) type Page<T> = Result<Option<Vec<T>>, Error>;

/// The items of all pages, one after the other. It ends after an error.
pub(crate) struct Items<P, T> {
    pages: Turns<P, Page<T>>,
    /// What is left of the page that was read last.
    read: std::vec::IntoIter<T>,
    ended: bool,
}

impl<P, T> Items<P, T> {
    pub(crate) fn new(pages: P) -> Self {
        Self { pages: Turns::new(pages), read: Vec::new().into_iter(), ended: false }
    }

    /// The next item; `None` behind the last one. `begin` begins to read the next page, when the reader comes to it.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        begin: impl Fn(P) -> Turn<P, Page<T>>,
    ) -> Poll<Option<Result<T, Error>>> {
        loop {
            if let Some(item) = self.read.next() {
                return Poll::Ready(Some(Ok(item)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.pages.poll(context, &begin)) {
                Ok(Some(page)) => self.read = page.into_iter(),
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

/// The next item of a stream.
pub(crate) async fn next<S: futures_core::Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| Poll::Ready(ready!(Pin::new(&mut *stream).poll_next(context)))).await
}
