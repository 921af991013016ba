//! Lists namespaces, page by page.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::calls::option;
use crate::client::Client;
use crate::error::Error;
use crate::model::Namespace;
use crate::secrets::Secrets;
use crate::turns::{Items, Page, Turn, next};
use crate::v1;

impl Client {
    /// Lists the namespaces in which the caller may list secrets, by the bytes of their names, whatever the namespace of the client
    /// is. [`ListNamespaces::stream`] begins to read.
    pub fn list_namespaces(&self) -> ListNamespaces {
        ListNamespaces { client: self.clone(), request: v1::ListNamespacesRequest::default() }
    }
}

/// A list of namespaces; see [`Client::list_namespaces`].
#[must_use = "a list is read by its stream"]
pub struct ListNamespaces {
    client: Client,
    request: v1::ListNamespacesRequest,
}

impl ListNamespaces {
    option! { min_revision consistency }

    /// Only this namespace and those below it: with `team`, also `team/billing`.
    pub fn below(mut self, namespace: impl Into<String>) -> Self {
        self.request.below = namespace.into();
        self
    }

    /// How many namespaces are asked for at a time, 1 to 1,000. Without it, 100.
    pub fn page_size(mut self, size: i32) -> Self {
        self.request.limit = Some(size);
        self
    }

    /// The namespaces, one after the other. A page is read when the reader comes to it.
    pub fn stream(self) -> NamespaceList {
        let pages = Pages { secrets: self.client.secrets(), next: Some(self.request) };
        NamespaceList(Items::new(pages))
    }
}

/// The namespaces of a list. It is a [`Stream`], and has a [`next`](Self::next) of its own. It ends after an error.
pub struct NamespaceList(Items<Pages, v1::Namespace>);

impl NamespaceList {
    /// The next namespace; `None` behind the last one.
    pub async fn next(&mut self) -> Option<Result<Namespace, Error>> {
        next(self).await
    }
}

impl Stream for NamespaceList {
    type Item = Result<Namespace, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let read = |mut pages: Pages| -> Turn<Pages, Page<v1::Namespace>> {
            Box::pin(async move {
                let page = pages.next().await;
                (pages, page)
            })
        };
        let namespace = ready!(self.0.poll(context, read));
        Poll::Ready(namespace.map(|namespace| namespace.map(Namespace::of)))
    }
}

struct Pages {
    secrets: Secrets,
    /// The request of the next page.
    next: Option<v1::ListNamespacesRequest>,
}

impl Pages {
    async fn next(&mut self) -> Page<v1::Namespace> {
        let Some(mut request) = self.next.take() else { return Ok(None) };
        let page = self.secrets.list_namespaces(request.clone()).await?;
        if !page.next_page_token.is_empty() {
            request.page_token = page.next_page_token;
            self.next = Some(request);
        }
        Ok(Some(page.items))
    }
}
