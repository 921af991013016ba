//! Work on many items at once, on all processors: what a start does with each of a million records.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::thread::{Builder, available_parallelism, scope};

/// So few items are not worth a thread.
const FEWEST: usize = 256;
/// The stack of a thread, in bytes.
const STACK: usize = 256 << 10;

/// Does the same work for each share of these items, a share on each processor, and gives the results in the order of the items.
/// It blocks until all are done.
pub fn by_shares<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    // Every commit comes by here, with few items.
    if items.len() <= FEWEST {
        return vec![work(items)];
    }
    // It takes some system calls to learn.
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    let processors = *PROCESSORS.get_or_init(|| available_parallelism().map_or(1, NonZero::get));
    let share = items.len().div_ceil(processors).max(FEWEST);
    if items.len() <= share {
        return vec![work(items)];
    }
    let work = &work;
    scope(|scope| {
        let begin =
            |share| (share, Builder::new().stack_size(STACK).spawn_scoped(scope, move || work(share)));
        let begun: Vec<_> = items.chunks(share).map(begin).collect();
        let result =
            |(share, thread): (&[T], std::io::Result<std::thread::ScopedJoinHandle<'_, R>>)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // Where no more threads can be had, this one does the work.
                Err(_) => work(share),
            };
        begun.into_iter().map(result).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_in_order() {
        for count in [0, 1, FEWEST - 1, FEWEST, FEWEST + 1, 10 * FEWEST + 7] {
            let items: Vec<usize> = (0..count).collect();
            let shares = by_shares(&items, |share| share.to_vec());
            assert_eq!(shares.concat(), items);
        }
    }
}
