//! Which keys the next page of a scan asks for.
//!
//! etcd counts all keys of the range that it is asked for, however few of them it returns. A scan that asks for the rest of
//! its keys with each page would take a time that grows with the square of their number. So a page asks for a *span*: the
//! keys that begin with the same bits. The store learns from the counts how long these bits must be for spans of about a page.
//! A wrong guess costs time and nothing else: a span with more keys than a page is read with several pages.

use crate::store::MAX_RECORD;

/// A span of more pages than this costs too much counting.
pub(super) const CROWDED: usize = 8;
/// A span becomes at most 16 times as long at once: a longer step behind the end of a crowd could reach too many keys.
const LONGEST_STEP: usize = 4;
/// How many spans are asked for at once, where they suit.
const AT_ONCE: usize = 8;
/// About how many bytes a page should have, and the most records of one. Each request costs etcd as much as some 100 records.
const PAGE_BYTES: usize = 512 << 10;
const LARGEST_PAGE: usize = 1024;

/// How many bits the keys of a span have in common, as the last scan found it best.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    bits: usize,
    /// The bits that would suit if all keys were evenly spread: spans do not become shorter than this at once, so that the
    /// search behind a crowd of keys does not ask for all of the others.
    even: usize,
    /// How many bits fewer the next span has, if this one has hardly any keys.
    step: usize,
    /// How many spans in a row have suited, as far as it matters.
    suited: usize,
    /// How many keys the last span had.
    usual: usize,
    /// How many bytes the values of the last span had, on average.
    value: usize,
}

impl Span {
    /// All keys with this prefix.
    pub(super) fn of(prefix: &[u8]) -> Self {
        let bits = prefix.len() * 8;
        Self { bits, even: bits, step: 1, suited: 0, usual: 0, value: MAX_RECORD }
    }

    pub(super) fn bits(&self) -> usize {
        self.bits
    }

    /// How many keys a span usually has.
    pub(super) fn usual(&self) -> usize {
        self.usual
    }

    /// How many records to ask for at once: more than `least` where they are small.
    pub(super) fn page(&self, least: usize) -> usize {
        (PAGE_BYTES / self.value.max(1)).clamp(least, LARGEST_PAGE)
    }

    /// Learns from what was read of a span: so many records, with so many bytes in all.
    pub(super) fn measure(&mut self, records: usize, bytes: usize) {
        if let Some(value) = bytes.checked_div(records) {
            self.value = value;
        }
    }

    /// How many spans to ask for at once: one until it is known that the guess suits.
    pub(super) fn at_once(&self) -> usize {
        (self.suited + 1).min(AT_ONCE)
    }

    /// The first key behind the span that holds this key; `None`: the span has no end, or one that is not below the prefix.
    pub(super) fn end(&self, key: &[u8], prefix: &[u8]) -> Option<Vec<u8>> {
        let bits = self.bits.max(prefix.len() * 8);
        let (whole, rest) = (bits / 8, bits % 8);
        let mut end: Vec<u8> = key.iter().copied().chain(std::iter::repeat(0)).take(whole).collect();
        let mut carry = rest == 0;
        if rest > 0 {
            let one = 1_u8 << (8 - rest);
            let begun = key.get(whole).copied().unwrap_or(0) & one.wrapping_neg();
            let (last, over) = begun.overflowing_add(one);
            end.push(last);
            carry = over;
        }
        for byte in end.iter_mut().take(whole).rev() {
            if !carry {
                break;
            }
            (*byte, carry) = byte.overflowing_add(1);
        }
        // A key with fewer zeros at its end comes before one with more.
        while end.last() == Some(&0) {
            end.pop();
        }
        (!carry && end.starts_with(prefix)).then_some(end)
    }

    /// Learns from the first page of a span: the first and the last key of the page, and how many keys the span has.
    pub(super) fn learn(&mut self, ends: Option<(&[u8], &[u8])>, count: usize, page: usize, prefix: &[u8]) {
        let (before, shortest) = (self.bits, prefix.len() * 8);
        self.bits = self.bits.max(shortest);
        if count > CROWDED * page {
            let too_many = usize::try_from((count / page).ilog2()).unwrap_or(0);
            self.even = self.bits + too_many.saturating_sub(1);
            let alike = ends.map_or(0, |(first, last)| common_bits(first, last));
            self.bits = self.even.max(alike);
            self.step = 1;
        } else if count * CROWDED < page {
            let least = if self.bits > self.even { self.even.max(shortest) } else { shortest };
            self.bits = self.bits.saturating_sub(self.step).max(least);
            self.step = (self.step * 2).min(LONGEST_STEP);
        } else {
            self.step = 1;
        }
        self.suited = if self.bits == before { (self.suited + 1).min(AT_ONCE) } else { 0 };
        self.usual = count;
    }
}

/// With how many equal bits two keys begin.
fn common_bits(one: &[u8], other: &[u8]) -> usize {
    let alike = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let last = one.get(alike).zip(other.get(alike)).map_or(0, |(one, other)| (one ^ other).leading_zeros());
    alike * 8 + usize::try_from(last).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Bound;

    use super::*;

    #[test]
    fn a_span_ends_where_its_first_bits_end() {
        let end = |bits, key: &[u8]| Span { bits, ..Span::of(b"s") }.end(key, b"s");
        assert_eq!(end(8, b"sab"), None);
        assert_eq!(end(16, b"sab"), Some(b"sb".to_vec()));
        assert_eq!(end(12, b"sab"), Some(b"sp".to_vec()));
        assert_eq!(end(32, b"sa"), Some(b"sa\0\x01".to_vec()));
        assert_eq!(end(24, b"sa\xff\xff"), Some(b"sb".to_vec()));
        assert_eq!(end(17, b"sa\x80"), Some(b"sb".to_vec()));
        assert_eq!(end(16, b"s\xff"), None);
        assert_eq!(end(3, b"sab"), None, "no span is longer than its prefix");
        assert_eq!(Span { bits: 5, ..Span::of(b"") }.end(b"\xff", b""), None);
        assert_eq!(common_bits(b"sa", b"sa"), 16);
        assert_eq!(common_bits(b"sa", b"sc\0"), 14);
    }

    /// How many keys etcd counts for a scan of these keys, and with how many requests; all keys are found.
    fn counted(keys: &BTreeSet<Vec<u8>>, page: usize) -> (usize, usize) {
        let (prefix, mut span) = (b"s".as_slice(), Span::of(b"s"));
        let (mut counted, mut requests, mut found) = (0, 0, 0);
        let (mut from, mut fresh) = (prefix.to_vec(), true);
        loop {
            let end = span.end(&from, prefix);
            let upper = end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(end.clone()));
            let within: Vec<_> = keys.range((Bound::Included(from.clone()), upper)).collect();
            let shown = &within[..page.min(within.len())];
            (counted, requests, found) = (counted + within.len(), requests + 1, found + shown.len());
            if std::mem::replace(&mut fresh, false) {
                let ends = shown.first().zip(shown.last());
                let ends = ends.map(|(first, last)| (first.as_slice(), last.as_slice()));
                span.learn(ends, within.len(), page, prefix);
            }
            if within.len() > page {
                from = [shown[page - 1].as_slice(), &[0]].concat();
                continue;
            }
            let Some(end) = end else { break };
            (from, fresh) = (end, true);
        }
        assert_eq!(found, keys.len());
        (counted, requests)
    }

    fn random(seed: &mut u64) -> [u8; 8] {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed.rotate_left(31).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
    }

    /// Secrets in namespaces of random ids, with ids that begin with the time: in bursts with an hour between.
    fn secrets(namespaces: usize, each: usize, burst: usize) -> BTreeSet<Vec<u8>> {
        let (mut seed, mut keys) = (7, BTreeSet::new());
        for _ in 0..namespaces {
            let namespace = [random(&mut seed), random(&mut seed)].concat();
            for number in 0..each {
                let time = 1_764_007_876_120_u64 + number as u64 + (number / burst) as u64 * 3_600_000;
                let id = [&time.to_be_bytes()[2..], &random(&mut seed)].concat();
                keys.insert([b"s".as_slice(), &namespace, &id].concat());
            }
        }
        keys
    }

    #[test]
    fn the_keys_counted_grow_with_the_keys_and_not_with_their_square() {
        for (namespaces, each, burst) in [
            (1, 100_000, 100_000),
            (1, 100_000, 1000),
            (10_000, 10, 10),
            (100, 1000, 1000),
            (10, 10_000, 50),
            (3, 0, 1),
        ] {
            let keys = secrets(namespaces, each, burst);
            for page in [128, 1024] {
                let (counted, requests) = counted(&keys, page);
                // With the rest counted for each page of 128, these are 39 million.
                assert!(counted <= keys.len() * 16, "{namespaces}×{each}, {page}: {counted} counted");
                assert!(requests <= keys.len() / 20 + 20, "{namespaces}×{each}, {page}: {requests} requests");
            }
        }
    }

    #[test]
    fn a_page_has_many_records_where_they_are_small() {
        let mut span = Span::of(b"s");
        assert_eq!(span.page(128), 128, "at first, nothing is known");
        for (records, bytes, page) in
            [(10, 1000, LARGEST_PAGE), (10, 20 << 10, 256), (0, 0, 256), (1, MAX_RECORD, 128)]
        {
            span.measure(records, bytes);
            assert_eq!(span.page(128), page);
        }
    }

    #[test]
    fn more_spans_are_asked_for_at_once_as_they_suit() {
        let mut span = Span::of(b"s");
        assert_eq!(span.at_once(), 1);
        let ends = Some((b"sa".as_slice(), b"sb".as_slice()));
        span.learn(ends, 5000, 128, b"s");
        assert_eq!(span.at_once(), 1, "they were too long");
        for expected in [2, 3, 4, 5, 6, 7, 8, 8, 8] {
            span.learn(ends, 100, 128, b"s");
            assert_eq!((span.at_once(), span.usual()), (expected, 100));
        }
        span.learn(ends, 5, 128, b"s");
        assert_eq!(span.at_once(), 1, "they are too short");
    }
}
