//! Lists secrets, page by page.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use futures_core::Stream;

use crate::calls::option;
use crate::client::Client;
use crate::error::Error;
use crate::model::Secret;
use crate::secrets::Pages;
use crate::turns::{Turns, next};
use crate::v1;

impl Client {
    /// Lists the secrets of the namespace, without their values. [`List::stream`] begins to read.
    pub fn list(&self) -> List {
        List { client: self.clone(), request: v1::ListSecretsRequest::default() }
    }
}

/// A list of secrets; see [`Client::list`].
#[must_use = "a list is read by its stream"]
pub struct List {
    client: Client,
    request: v1::ListSecretsRequest,
}

impl List {
    option! { name_prefix matching min_revision consistency }

    /// How many secrets are asked for at a time, 1 to 1,000. Without it, 100.
    pub fn page_size(mut self, size: i32) -> Self {
        self.request.limit = Some(size);
        self
    }

    /// The order: `name`, `created_at` or `updated_at`; add ` desc` for the reverse order. Without it, by name.
    pub fn order_by(mut self, order: impl Into<String>) -> Self {
        self.request.order_by = order.into();
        self
    }

    /// Also list deleted secrets that can still be brought back.
    pub fn include_deleted(mut self) -> Self {
        self.request.include_deleted = true;
        self
    }

    /// Only secrets that are older than this time, and of which no value was read since.
    pub fn unused_since(mut self, time: SystemTime) -> Self {
        self.request.unused_since = Some(time.into());
        self
    }

    /// The secrets, one after the other. A page is read when the reader comes to it.
    pub fn stream(self) -> SecretList {
        let pages = self.client.secrets().pages(self.request);
        SecretList { pages: Turns::new(pages), read: VecDeque::new(), ended: false }
    }
}

/// The secrets of a list. It is a [`Stream`], and has a [`next`](Self::next) of its own. It ends after an error.
pub struct SecretList {
    pages: Turns<Pages, Result<Option<v1::ListSecretsResponse>, Error>>,
    /// What is left of the page that was read last.
    read: VecDeque<v1::Secret>,
    ended: bool,
}

impl SecretList {
    /// The next secret; `None` behind the last one.
    pub async fn next(&mut self) -> Option<Result<Secret, Error>> {
        next(self).await
    }
}

impl Stream for SecretList {
    type Item = Result<Secret, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(secret) = self.read.pop_front() {
                return Poll::Ready(Some(Ok(Secret::of(Some(secret), 0, 0))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let turn = |mut pages: Pages| -> Pin<Box<dyn Future<Output = _> + Send>> {
                Box::pin(async move {
                    let page = pages.next().await;
                    (pages, page)
                })
            };
            match ready!(self.pages.poll(context, turn)) {
                Ok(Some(page)) => self.read = page.items.into(),
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}
