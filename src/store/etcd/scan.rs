//! Scans: entries in the order of their keys, read with pages of bounded spans of keys. See [`super::span`].
//!
//! A scan asks for several spans at once, as many as the rest of its entries probably needs, so that etcd reads some while the
//! answers to others are on their way. Nothing is read before the scan was called, nor kept for the next one.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use etcd_client::{GetOptions, TxnOp};
use tokio::task::JoinHandle;

use super::cluster::MAX_PAGE;
use super::layout::{EtcdKey, Pointer, behind, end_of, revision};
use super::span::{CROWDED, Span};
use super::{EtcdClient, EtcdStore};
use crate::store::{Entry, Key, Unavailable};

/// What is read of one span at once ends behind so many bytes.
const FULL: usize = 4 << 20;

/// A span that was asked for.
struct Asked {
    task: JoinHandle<Result<SpanRead, Unavailable>>,
    /// How many bits its keys have in common. `None`: only the rest of a span was asked for.
    bits: Option<usize>,
    /// How many entries it probably has.
    expected: usize,
}

/// What was read of a span.
#[derive(Default)]
struct SpanRead {
    entries: Vec<(Key, Entry)>,
    bytes: usize,
    /// How many keys it has.
    count: usize,
    /// How many records the first answer could have.
    page: usize,
    /// Where its rest begins, if it was not read to its end.
    rest: Option<Vec<u8>>,
}

impl EtcdStore {
    pub(super) async fn scan_spans(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, Unavailable> {
        let prefix: Arc<[u8]> = prefix.as_bytes().into();
        let mut span = self.span(&prefix);
        // Where the next span begins that is to be asked for, and whether what begins there is a whole one.
        let (mut next, mut whole) = match after {
            Some(after) if *after.as_bytes() >= *prefix => (Some(behind(after.as_bytes().to_vec())), false),
            Some(_) | None => (Some(prefix.to_vec()), true),
        };
        let (mut found, mut asked) = (Vec::new(), VecDeque::<Asked>::new());
        while found.len() < limit {
            while asked.len() < span.at_once()
                && let expected = asked.iter().map(|asked| asked.expected).sum::<usize>()
                && let left @ 1.. = (limit - found.len()).saturating_sub(expected)
                && let Some(from) = next.take()
            {
                next = span.end(&from, &prefix);
                let page = span.page(MAX_PAGE).min(left);
                let read = self.client.clone().read_span(prefix.clone(), from, next.clone(), page, left);
                let bits = std::mem::replace(&mut whole, true).then(|| span.bits());
                let expected = span.usual().min(left);
                asked.push_back(Asked { task: tokio::spawn(read), bits, expected });
            }
            let Some(mut first) = asked.pop_front() else { break };
            let read = (&mut first.task).await.map_err(|_| defect())??;
            span.measure(read.entries.len(), read.bytes);
            // What was asked for with another guess says nothing of the present one.
            if first.bits == Some(span.bits()) {
                let page = read.entries.get(..read.page).unwrap_or(&read.entries);
                let ends = page.first().zip(page.last());
                let ends = ends.map(|((first, _), (last, _))| (first.as_bytes(), last.as_bytes()));
                span.learn(ends, read.count, read.page, &prefix);
            }
            found.extend(read.entries);
            if let Some(rest) = read.rest {
                asked.clear(); // they come behind it
                (next, whole) = (Some(rest), false);
            }
        }
        self.remember(&prefix, span);
        found.truncate(limit);
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

impl EtcdClient {
    /// Reads the entries from a key up to the end of its span, at most so many. Of a crowded span, or one with large records, only
    /// the beginning.
    async fn read_span(
        self: Arc<Self>,
        prefix: Arc<[u8]>,
        mut from: Vec<u8>,
        end: Option<Vec<u8>>,
        page: usize,
        most: usize,
    ) -> Result<SpanRead, Unavailable> {
        let mut read = SpanRead { page, ..SpanRead::default() };
        loop {
            let asked = (most - read.entries.len()).min(read.page);
            let range = |pointer: Pointer| {
                let record = |key: &[u8]| self.layout.record(pointer.generation, &Key::from_bytes(key));
                let end = end.as_deref().map_or_else(|| end_of(&record(&prefix)), record);
                let options = GetOptions::new().with_range(end).with_limit(asked as i64);
                TxnOp::get(record(&from), Some(options))
            };
            let mut found = match self.read(range).await {
                Ok(read) => read.found,
                // Its records can be larger than those before.
                Err(_) if asked > MAX_PAGE => {
                    read.page = MAX_PAGE;
                    continue;
                }
                Err(why) => return Err(why),
            };
            let more = found.more();
            if read.entries.is_empty() {
                read.count = usize::try_from(found.count()).unwrap_or(usize::MAX);
            }
            for stored in found.take_kvs() {
                let revision = revision(stored.mod_revision());
                let (key, value) = stored.into_key_value();
                if let EtcdKey::Record(_, key) = self.layout.parse_key(&key) {
                    read.bytes += value.len();
                    read.entries.push((Key::from_bytes(key), Entry { value, revision }));
                }
            }
            let Some((last, _)) = read.entries.last().filter(|_| more) else { return Ok(read) };
            from = behind(last.as_bytes().to_vec());
            if read.count > CROWDED * read.page || read.entries.len() >= most || read.bytes >= FULL {
                read.rest = Some(from);
                return Ok(read);
            }
        }
    }
}

/// A scan that ends early needs no more answers.
impl Drop for Asked {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn defect() -> Unavailable {
    Unavailable("its records could not be read because of a defect".into())
}
