//! Reads what a store holds page by page, in the order of the keys.

use super::{Entry, Key, Store, Unavailable};

/// The entries whose keys begin with a prefix, a page at a time. Not of one moment: entries may change between pages. No key comes twice,
/// whatever the store gives.
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
        if !is_in_order(&self.prefix, self.after.as_ref(), page.iter().map(|(key, _)| key)) {
            return Err(Unavailable("it gave records out of order".into()));
        }
        let Some((last, _)) = page.last() else { return Ok(None) };
        self.after = Some(last.clone());
        Ok(Some(page))
    }
}

/// Whether all of these keys begin with the prefix, and each comes behind the one before it. What checks a store against its digest relies
/// on that: a record that came twice would count as none.
fn is_in_order<'a>(prefix: &Key, after: Option<&'a Key>, keys: impl Iterator<Item = &'a Key>) -> bool {
    let mut before = after;
    for key in keys {
        if !key.as_bytes().starts_with(prefix.as_bytes()) || before.is_some_and(|before| before >= key) {
            return false;
        }
        before = Some(key);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_comes_twice_or_from_elsewhere() {
        let key = |bytes: &str| Key::from_bytes(bytes.as_bytes());
        let check = |after: Option<&str>, keys: &[&str]| {
            let keys: Vec<_> = keys.iter().map(|bytes| key(bytes)).collect();
            is_in_order(&key("b"), after.map(key).as_ref(), keys.iter())
        };
        assert!(check(None, &[]));
        assert!(check(None, &["b", "b1", "b2"]));
        assert!(check(Some("b1"), &["b2", "b20"]));
        for (after, keys) in [
            (None, ["b1", "b1"]),
            (None, ["b2", "b1"]),
            (Some("b1"), ["b1", "b2"]),
            (Some("b2"), ["b1", "b3"]),
            (None, ["a1", "b1"]),
            (None, ["b1", "c1"]),
        ] {
            assert!(!check(after, &keys), "{keys:?} after {after:?}");
        }
    }
}
