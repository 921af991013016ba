//! Blocks that are memory mappings of their own: anonymous and private.
//!
//! The kernel gives a page its memory, zeroed, at the first write to it. The server locks all its memory, now and later
//! (`mlockall`), with `MCL_ONFAULT`, which keeps that so. The kernel counts neighbouring mappings as one, so there are
//! rarely more of them than blocks.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use libc::{
    _SC_PAGESIZE, MADV_NOHUGEPAGE, MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, MREMAP_MAYMOVE, PROT_READ,
    PROT_WRITE,
};

use crate::wipe::wipe;

/// The most blocks that are mapped at a time: a quarter of the mappings that the kernel allows a process by default.
pub const MOST_MAPPED: usize = 16_384;

/// How many blocks are mapped. Nothing else depends on when it changes.
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// A mapping of this many bytes, all zero. Null where there are too many mappings, or the kernel refuses.
pub(crate) fn new(size: usize) -> *mut u8 {
    if MAPPED.fetch_add(1, Relaxed) >= MOST_MAPPED {
        MAPPED.fetch_sub(1, Relaxed);
        return ptr::null_mut();
    }
    // SAFETY: the kernel chooses a place that is free.
    let start = unsafe {
        libc::mmap(ptr::null_mut(), size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    };
    if start == MAP_FAILED {
        MAPPED.fetch_sub(1, Relaxed);
        return ptr::null_mut();
    }
    // With huge pages, the first byte that is written would cost 2 MiB. A kernel without them refuses, which does no harm.
    // SAFETY: this is the mapping from above; the advice changes none of its bytes.
    unsafe { libc::madvise(start, size, MADV_NOHUGEPAGE) };
    start.cast()
}

/// Overwrites what was written, and unmaps the block.
///
/// # Safety
/// The block is a mapping of this size, and is not used again.
pub(crate) unsafe fn free(block: *mut u8, size: usize) {
    // SAFETY: as the caller says.
    let unmapped = unsafe {
        wipe_written(block, size);
        libc::munmap(block.cast(), size)
    };
    // A block that the kernel cannot unmap stays mapped, wiped and counted.
    if unmapped == 0 {
        MAPPED.fetch_sub(1, Relaxed);
    }
}

/// Makes a block larger or smaller. If the block must move, the kernel moves its pages, so that none stays behind. Null
/// where the kernel refuses: the block then stays where it was, and keeps the bytes up to the new size.
///
/// # Safety
/// The block is a mapping of the old size. Neither size is 0.
pub(crate) unsafe fn resize(block: *mut u8, old_size: usize, new_size: usize) -> *mut u8 {
    // SAFETY: as the caller says. The part that is cut off belongs to the block until `mremap`.
    unsafe {
        if new_size < old_size {
            wipe_written(block.add(new_size), old_size - new_size);
        }
        let resized = libc::mremap(block.cast(), old_size, new_size, MREMAP_MAYMOVE);
        if resized == MAP_FAILED { ptr::null_mut() } else { resized.cast() }
    }
}

/// Overwrites the pages that have memory behind them. A page without memory was never written, or is on a swap device: the
/// unmapping that follows frees it there. The page in which the range begins may stay, so it is overwritten in any case.
///
/// # Safety
/// These bytes belong to one block, which is a mapping.
unsafe fn wipe_written(start: *mut u8, length: usize) {
    // SAFETY: the call takes no pointer.
    let page = unsafe { libc::sysconf(_SC_PAGESIZE) } as usize;
    let end = start.addr() + length;
    let mut resident = [0_u8; 256]; // the lowest bit says whether a page has memory
    let mut from = start.addr() - start.addr() % page;
    while from < end {
        let span = (end - from).min(resident.len() * page);
        // SAFETY: the pages are mapped, and there is a byte for each of them.
        let known = unsafe { libc::mincore(start.with_addr(from).cast(), span, resident.as_mut_ptr()) } == 0;
        for (at, state) in (from..from + span).step_by(page).zip(resident) {
            if !known || state & 1 == 1 || at < start.addr() {
                let first = at.max(start.addr());
                // SAFETY: these bytes are within the page and within the caller's range.
                unsafe { wipe(start.with_addr(first), (at + page).min(end) - first) };
            }
        }
        from += span;
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test that fails should stop
mod tests {
    use std::slice;

    use super::*;

    const SIZE: usize = 5 << 20; // more than one call of `mincore`

    #[test]
    fn written_pages_are_wiped_within_the_range_and_no_page_gets_memory() {
        let block = new(SIZE);
        // SAFETY: the block is a mapping of this size, and nobody else uses it.
        let bytes = unsafe { slice::from_raw_parts_mut(block, SIZE) };
        let written = [0..9000, 500_000..500_001, SIZE - 5000..SIZE];
        for range in written.clone() {
            bytes[range].fill(0xff);
        }
        let with_memory = pages_with_memory(block);
        // SAFETY: as above.
        unsafe { wipe_written(block.add(100), SIZE - 200) };
        assert_eq!(pages_with_memory(block), with_memory);
        for (at, byte) in bytes.iter().enumerate() {
            let expected = if (100..SIZE - 100).contains(&at) { 0 } else { 0xff };
            assert_eq!(*byte, expected, "at {at}");
        }
        // SAFETY: as above; the bytes are not used again.
        unsafe { free(block, SIZE) };
    }

    fn pages_with_memory(block: *mut u8) -> usize {
        let mut resident = vec![0_u8; SIZE.div_ceil(4096)];
        // SAFETY: the pages are mapped, and there is a byte for each of them.
        assert_eq!(unsafe { libc::mincore(block.cast(), SIZE, resident.as_mut_ptr()) }, 0);
        resident.iter().filter(|&&state| state & 1 == 1).count()
    }
}
