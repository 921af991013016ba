//! Reads what a store holds page by page, in the order of the keys.

use super::{Entry, Key, Store, Unavailable};

/// The entries whose keys begin with a prefix, a page at a time. Not of one moment: entries may change between pages.
pub struct Pages<'a> {
    store: &'a dyn Store,
    prefix: Key,
    size: usize,
    /// The last key of the page before.
    after: Option<Key>,
}

impl<'a> Pages<'a> {
    /// The entries of a prefix, `size` at a time.
    pub fn new(store: &'a dyn Store, prefix: Key, size: usize) -> Self {
        Self { store, prefix, size, after: None }
    }

    /// The next page; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<(Key, Entry)>>, Unavailable> {
        let page = self.store.scan(&self.prefix, self.after.as_ref(), self.size).await?;
        let Some((last, _)) = page.last() else { return Ok(None) };
        self.after = Some(last.clone());
        Ok(Some(page))
    }
}
