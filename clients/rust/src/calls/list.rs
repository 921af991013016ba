//! Lists secrets, page by page.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use futures_core::Stream;

use crate::calls::option;
use crate::client::Client;
use crate::error::Error;
use crate::model::Secret;
use crate::secrets::Pages;
use crate::turns::{Items, Page, Turn, next};
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
        SecretList(Items::new(self.client.secrets().pages(self.request)))
    }
}

/// The secrets of a list. It is a [`Stream`], and has a [`next`](Self::next) of its own. It ends after an error.
pub struct SecretList(Items<Pages, v1::Secret>);

impl SecretList {
    /// The next secret; `None` behind the last one.
    pub async fn next(&mut self) -> Option<Result<Secret, Error>> {
        next(self).await
    }
}

impl Stream for SecretList {
    type Item = Result<Secret, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let read = |mut pages: Pages| -> Turn<Pages, Page<v1::Secret>> {
            Box::pin(async move {
                let page = pages.next().await;
                (pages, page.map(|page| page.map(|page| page.items)))
            })
        };
        let secret = ready!(self.0.poll(context, read));
        Poll::Ready(secret.map(|secret| Ok(Secret::of(Some(secret?), 0, 0))))
    }
}
