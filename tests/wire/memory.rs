//! Searches the memory of a server from outside.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memmem::Finder;

/// How long the bytes of a connection may outlive it: the server's tasks end a moment after the connection.
pub const MOMENT: Duration = Duration::from_secs(2);

/// The memory of a process that may be read.
#[derive(Clone)]
pub struct Memory {
    process: u32,
    file: Arc<File>,
}

/// The result of a search.
pub struct Found {
    /// For each place: the bytes that were found, the mapping, and the bytes around them.
    pub places: Vec<String>,
    /// The number of bytes that were searched.
    pub searched: usize,
}

impl Memory {
    /// The memory of a process. `None` where this user may not read it, since the server hides its memory from all users but
    /// root; a line on standard error says so.
    pub fn of(process: u32) -> Option<Self> {
        let opened = File::open(format!("/proc/{process}/mem"));
        // A file that can be opened may still not be readable.
        let opened = opened.map(|file| Self { process, file: Arc::new(file) }).and_then(|memory| {
            let found = memory.search(&[b"strongroom"])?;
            if found.searched > 0 { Ok(memory) } else { Err(std::io::ErrorKind::PermissionDenied.into()) }
        });
        match opened {
            Ok(memory) => Some(memory),
            Err(error) => {
                // Not through the tests' own output, which is captured.
                let said =
                    format!("\nSKIPPED: the search of the server's memory, which needs root: {error}\n");
                let _ = std::io::stderr().write_all(said.as_bytes());
                None
            }
        }
    }

    /// The places where any of these bytes are.
    pub fn search(&self, wanted: &[&[u8]]) -> std::io::Result<Found> {
        let finders: Vec<_> = wanted.iter().map(Finder::new).collect();
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.process))?;
        let mut found = Found { places: Vec::new(), searched: 0 };
        let mut bytes = Vec::new();
        for map in maps.lines() {
            let mut words = map.split_ascii_whitespace();
            let (from, to) = words.next().and_then(|range| range.split_once('-')).expect("a range");
            let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).expect("an address"));
            // Mappings that cannot be written hold the program itself.
            let writable = words.next().is_some_and(|rights| rights.starts_with("rw"));
            let name = words.nth(3).unwrap_or("no file");
            if !writable {
                continue;
            }
            bytes.resize(usize::try_from(to - from).expect("a size"), 0);
            // The mapping may be gone by now.
            let Ok(read) = self.file.read_at(&mut bytes, from) else { continue };
            let bytes = &bytes[..read];
            found.searched += read;
            for (finder, wanted) in finders.iter().zip(wanted) {
                for at in finder.find_iter(bytes) {
                    let around = &bytes[at.saturating_sub(64)..(at + 64).min(bytes.len())];
                    let around = String::from_utf8_lossy(around).replace('\0', "·");
                    let (wanted, at) = (String::from_utf8_lossy(wanted), from + at as u64);
                    found.places.push(format!("{wanted:?} at {at:x}, of {name}: {around:?}"));
                }
            }
        }
        Ok(found)
    }

    /// Asserts that none of these bytes is there any more, a moment after the event that `done` names.
    pub async fn has_none_of(&self, wanted: &[&[u8]], done: &str) -> usize {
        let since = Instant::now();
        loop {
            // On a thread of its own: the client's end of a connection is closed by a task of this one.
            let (memory, wanted) = (self.clone(), wanted.iter().map(|wanted| wanted.to_vec()));
            let wanted: Vec<_> = wanted.collect();
            let search = move || memory.search(&wanted.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let found = tokio::task::spawn_blocking(search).await.expect("a search");
            let found = found.expect("the server runs");
            if found.places.is_empty() {
                return found.searched;
            }
            let shown = &found.places[..found.places.len().min(5)];
            assert!(
                since.elapsed() < MOMENT,
                "in memory after {done}: {} places\n{shown:#?}",
                found.places.len()
            );
        }
    }
}
