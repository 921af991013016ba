//! Reads records for those who ask for them. Only records that survive a crash are read, so that the number of a record never
//! comes to mean another one.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use super::folder::Folder;
use crate::audit::Line;
use crate::domain::Timestamp;

/// How many bytes of records one query looks at, at most, before it answers with what it has found.
const MAX_BYTES: usize = 256 << 20;

/// About how many bytes of records a page has, at most. It always has one record.
const PAGE_BYTES: usize = 512 << 10;

/// Which records to read. An empty filter holds for all records.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// The caller, exactly.
    pub principal: Option<String>,
    /// The RPC: its full name, or its name without the service.
    pub rpc: Option<String>,
    /// The namespace, exactly, in each form that a record can show.
    pub namespace: Option<Vec<String>>,
    /// The secret's name, exactly, in each form that a record can show. Records of documents that read the secret are found too.
    pub name: Option<Vec<String>>,
    /// The outcome, exactly.
    pub outcome: Option<String>,
    /// The reason, exactly.
    pub reason: Option<String>,
    /// The request id that the server made.
    pub request_id: Option<String>,
    /// The earliest time.
    pub after: Option<Timestamp>,
    /// The time before which the records are.
    pub before: Option<Timestamp>,
}

/// The order of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From this number on.
    OldestFirst(u64),
    /// Those before this number; the newest record comes first.
    NewestFirst(u64),
}

/// A record and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The number, counted from 0.
    pub index: u64,
    /// The line without its line feed, exactly as it was hashed.
    pub line: Vec<u8>,
}

/// Some of the records of a query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The records that were found.
    pub records: Vec<Stored>,
    /// Where to go on; `None` where there are no more. There can be more though no record was found so far.
    pub next: Option<u64>,
}

impl Query {
    /// Whether a record is asked for.
    pub fn holds_for(&self, record: &[u8]) -> bool {
        let texts = [&self.principal, &self.rpc, &self.outcome, &self.reason, &self.request_id];
        let names = self.namespace.is_none() && self.name.is_none();
        let times = self.after.is_none() && self.before.is_none();
        if texts.iter().all(|text| text.is_none()) && names && times {
            return true;
        }
        let Some(line) = Line::parse(record) else { return false };
        let is = |field: &Option<std::borrow::Cow<'_, str>>, wanted: &Option<String>| match wanted {
            None => true,
            Some(wanted) => field.as_deref() == Some(wanted),
        };
        is(&line.principal, &self.principal)
            && self.is_rpc(&line)
            && self.is_namespace(&line)
            && self.is_name(&line)
            && is(&line.outcome, &self.outcome)
            && is(&line.reason, &self.reason)
            && is(&line.request_id, &self.request_id)
            // Times have one form, whose order is that of their texts.
            && self.after.is_none_or(|after| *line.time >= *after.to_string())
            && self.before.is_none_or(|before| *line.time < *before.to_string())
    }

    fn is_rpc(&self, line: &Line<'_>) -> bool {
        let Some(wanted) = self.rpc.as_deref() else { return true };
        let Some(rpc) = line.rpc.as_deref() else { return false };
        rpc == wanted || rpc.rsplit_once('/').is_some_and(|(_, method)| method == wanted)
    }

    fn is_namespace(&self, line: &Line<'_>) -> bool {
        let Some(wanted) = self.namespace.as_deref() else { return true };
        line.namespace.as_deref().is_some_and(|namespace| wanted.iter().any(|wanted| wanted == namespace))
    }

    fn is_name(&self, line: &Line<'_>) -> bool {
        let Some(wanted) = self.name.as_deref() else { return true };
        let is_wanted = |name: &str| wanted.iter().any(|wanted| wanted == name);
        let referenced = |text: &String| text.split('@').next().is_some_and(is_wanted);
        line.name.as_deref().is_some_and(is_wanted)
            || line.read.iter().any(referenced)
            || line.not_read.iter().any(referenced)
    }
}

/// Reads up to `limit` records of a log of `size` records.
pub(super) fn read(
    folder: &Folder,
    size: u64,
    query: &Query,
    order: Order,
    limit: usize,
) -> io::Result<Page> {
    let files: Vec<_> = folder.list()?.records.into_iter().filter(|first| *first < size).collect();
    match order {
        Order::OldestFirst(from) => oldest_first(folder, &files, size, query, from, limit),
        Order::NewestFirst(before) => newest_first(folder, &files, query, before.min(size), limit),
    }
}

fn oldest_first(
    folder: &Folder,
    files: &[u64],
    size: u64,
    query: &Query,
    from: u64,
    limit: usize,
) -> io::Result<Page> {
    let (mut page, mut bytes, mut room) = (Page::default(), 0, PAGE_BYTES);
    let begin = files.partition_point(|first| *first <= from).saturating_sub(1);
    for first in files.iter().skip(begin) {
        let mut stopped = None;
        each(folder, *first, size, |index, line| {
            if page.records.len() >= limit || bytes > MAX_BYTES || room == 0 {
                stopped = Some(index);
                return false;
            }
            bytes += line.len();
            if index >= from && query.holds_for(line) {
                room = room.saturating_sub(line.len());
                page.records.push(Stored { index, line: line.to_vec() });
            }
            true
        })?;
        if stopped.is_some() {
            page.next = stopped;
            break;
        }
    }
    Ok(page)
}

fn newest_first(
    folder: &Folder,
    files: &[u64],
    query: &Query,
    before: u64,
    limit: usize,
) -> io::Result<Page> {
    let (mut page, mut bytes, mut room) = (Page::default(), 0, PAGE_BYTES);
    for first in files.iter().rev().filter(|first| **first < before) {
        if page.records.len() >= limit || bytes > MAX_BYTES || room == 0 {
            return Ok(page); // goes on before the file that was read last
        }
        let (wanted, mut found, mut left_out) =
            (limit - page.records.len(), VecDeque::<Stored>::new(), false);
        let mut size = 0;
        each(folder, *first, before, |index, line| {
            bytes += line.len();
            if query.holds_for(line) {
                size += line.len();
                found.push_back(Stored { index, line: line.to_vec() });
                while found.len() > wanted || size > room && found.len() > 1 {
                    size -= found.pop_front().map_or(0, |record| record.line.len());
                    left_out = true;
                }
            }
            true
        })?;
        room = room.saturating_sub(size);
        let oldest = found.front().map(|record| record.index);
        page.records.extend(found.into_iter().rev());
        if left_out {
            page.next = oldest;
            return Ok(page);
        }
        page.next = (*first > files.first().copied().unwrap_or_default()).then_some(*first);
    }
    Ok(page)
}

/// Calls `take` with each record of a file before `end`, until it returns false.
fn each(folder: &Folder, first: u64, end: u64, mut take: impl FnMut(u64, &[u8]) -> bool) -> io::Result<()> {
    let file = match File::open(folder.records(first)) {
        // Its retention has just ended.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    for index in first..end {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\n") {
            Some(record) if take(index, record) => {}
            _ => break,
        }
    }
    Ok(())
}
