//! Scans: entries in the order of their keys, read with pages of bounded spans of keys. See [`super::span`].

use std::sync::PoisonError;

use etcd_client::{GetOptions, TxnOp};

use super::cluster::MAX_PAGE;
use super::layout::{EtcdKey, Pointer, behind, end_of};
use super::span::Span;
use super::{EtcdStore, entry};
use crate::store::{Entry, Key, Unavailable};

impl EtcdStore {
    pub(super) async fn scan_spans(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable> {
        let (layout, prefix) = (&self.client.layout, prefix.as_bytes());
        let mut span = self.span(prefix);
        // Whether `from` is the beginning of a span.
        let (mut from, mut begins) = match after {
            Some(after) if after.as_bytes() >= prefix => (behind(after.as_bytes().to_vec()), false),
            Some(_) | None => (prefix.to_vec(), true),
        };
        let mut found: Vec<(Key, Entry)> = Vec::new();
        while found.len() < limit {
            let page = (limit - found.len()).min(MAX_PAGE);
            let end = span.end(&from, prefix);
            let range = |pointer: Pointer| {
                let record = |key: &[u8]| layout.record(pointer.generation, &Key::from_bytes(key));
                let end = end.as_deref().map_or_else(|| end_of(&record(prefix)), record);
                let options = GetOptions::new().with_range(end).with_limit(page as i64);
                TxnOp::get(record(&from), Some(options))
            };
            let read = self.client.read(range).await?.found;
            let shown = found.len();
            found.extend(read.kvs().iter().filter_map(|stored| match layout.parse_key(stored.key()) {
                EtcdKey::Record(_, key) => Some((Key::from_bytes(key), entry(stored))),
                EtcdKey::Pointer | EtcdKey::Head(_) | EtcdKey::Other => None,
            }));
            let last = found.last().map(|(key, _)| key.as_bytes());
            if begins {
                let first = found.get(shown).map(|(key, _)| key.as_bytes());
                let count = usize::try_from(read.count()).unwrap_or(usize::MAX);
                span.learn(first.zip(last), count, page, prefix);
            }
            begins = !read.more();
            from = match (read.more(), last, end) {
                (true, Some(last), _) => behind(last.to_vec()),
                (false, _, Some(end)) => end,
                (true, None, _) | (false, _, None) => break,
            };
        }
        self.remember(prefix, span);
        Ok(found)
    }

    /// What scans with this prefix have learned; at first, one span holds all of its keys.
    fn span(&self, prefix: &[u8]) -> Span {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.get(&prefix.first().copied()).copied().unwrap_or_else(|| Span::of(prefix))
    }

    fn remember(&self, prefix: &[u8], span: Span) {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).insert(prefix.first().copied(), span);
    }
}
