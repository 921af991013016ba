//! A page of the secrets of an index.

use std::sync::Arc;

use super::orders::PAGE_BYTES;
use super::packed::PackedSecret;
use crate::domain::{Cursor, Namespace, Secret};

/// More bytes than the name, the description and the metadata of a secret have.
const MAX_SECRET_BYTES: usize = 64 << 10;

/// A page of secrets.
#[derive(Debug)]
pub struct Page<T = Arc<Secret>> {
    /// The secrets, in the order that was asked for. Of their versions, they have the current one and the pending one.
    pub items: Vec<T>,
    /// How many secrets match the filter, on all pages together.
    pub total: usize,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<Cursor>,
}

impl Page {
    /// About how many bytes a page of so many secrets has at most.
    pub fn max_bytes(limit: usize) -> usize {
        limit.saturating_mul(MAX_SECRET_BYTES).min(PAGE_BYTES)
    }
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), total: 0, next: None }
    }
}

impl Page<PackedSecret> {
    /// The page with its secrets unpacked, which are those of a namespace. Needs no lock.
    pub(in crate::catalog) fn unpack(self, namespace: &Namespace) -> Page {
        let items = self.items.iter().filter_map(|secret| secret.unpack_briefly(namespace, None)).collect();
        Page { items, total: self.total, next: self.next }
    }
}
