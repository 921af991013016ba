//! List secrets.

use std::sync::Arc;

use super::SecretOperations;
use crate::app::Error;
use crate::auth::{List, NamespaceGrant};
use crate::catalog::Page;
use crate::domain::{Filter, Order, Revision, Secret, Start};
use crate::limits::LimitReached;

/// Which page of which secrets.
pub struct ListQuery {
    /// The secrets that are listed.
    pub filter: Filter,
    /// Their order.
    pub order: Order,
    /// Where the page begins.
    pub start: Start,
    /// How many secrets the page has, at most.
    pub limit: usize,
}

/// A page of secrets.
pub struct SecretPage {
    /// The secrets.
    pub items: Vec<Arc<Secret>>,
    /// How many secrets match in all.
    pub total: usize,
    /// The token of the next page; `None` where this is the last page.
    pub next: Option<String>,
    /// The store's revision that the page was read at.
    pub revision: Revision,
    /// How many secrets of the namespace cannot be opened, and are on no page. None where the caller may list only some names:
    /// the names of those secrets are not known.
    pub damaged: usize,
}

impl SecretOperations {
    /// A page of those secrets of a namespace that the caller may list. `room` is asked whether there is room for as many bytes as the page can have, just
    /// before the page is made.
    pub async fn list(
        &self,
        grant: &NamespaceGrant<List>,
        query: ListQuery,
        at_least: Revision,
        room: impl FnOnce(usize) -> Result<(), LimitReached>,
    ) -> Result<SecretPage, Error> {
        self.core.at_least(at_least).await?;
        room(Page::max_bytes(query.limit))?;
        self.core.confirm(grant.principal(), &[grant.granted()])?;
        let shown = self.core.catalog.revision();
        let (page, revision, damaged) = match self.core.catalog.namespace(grant.namespace()) {
            Some(namespace) => {
                namespace.page(grant.names(), &query.filter, query.order, &query.start, query.limit, shown)
            }
            None if self.core.catalog.is_damaged(grant.namespace()) => return Err(Error::Integrity),
            None => (Page::default(), shown, 0),
        };
        let Page { items, total, next } = page;
        let next = next
            .map(|cursor| self.seal_page_token(&cursor, grant.names(), &query.filter, query.order))
            .transpose()?;
        Ok(SecretPage { items, total, next, revision, damaged })
    }
}
