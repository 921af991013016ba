//! Blocks that are memory mappings of their own: anonymous and private.
//!
//! A page of theirs gets memory, zeroed by the kernel, when it is first written. Adjacent mappings are one to the kernel's
//! bookkeeping, so it has fewer than there are blocks. A lock on all memory (`mlockall`) with `MCL_ONFAULT` changes nothing
//! of that; without it, the kernel would give every page its memory at once.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use libc::{
    _SC_PAGESIZE, MADV_NOHUGEPAGE, MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, MREMAP_MAYMOVE, PROT_READ,
    PROT_WRITE,
};

use crate::wipe::wipe;

/// How many blocks are mapped at most: a quarter of the mappings that the kernel allows a process by default.
pub const MOST_MAPPED: usize = 16_384;

/// How many blocks are mapped. It orders nothing, so that no ordering is asked of it.
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// A mapping of at least so many bytes, all zero. Null where there are too many, or the kernel refuses.
pub(crate) fn new(size: usize) -> *mut u8 {
    if MAPPED.fetch_add(1, Relaxed) >= MOST_MAPPED {
        MAPPED.fetch_sub(1, Relaxed);
        return ptr::null_mut();
    }
    // SAFETY: the kernel chooses the place, so no memory of anyone else's is touched.
    let start = unsafe {
        libc::mmap(ptr::null_mut(), size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    };
    if start == MAP_FAILED {
        MAPPED.fetch_sub(1, Relaxed);
        return ptr::null_mut();
    }
    // A huge page would give 2 MiB of memory to the first byte that is written. A kernel without them refuses, which is well.
    // SAFETY: this is the mapping from above, and the advice changes no byte of it.
    unsafe { libc::madvise(start, size, MADV_NOHUGEPAGE) };
    start.cast()
}

/// Overwrites what was written, and unmaps the block.
///
/// # Safety
/// The block is a mapping of this size, and nobody uses it any more.
pub(crate) unsafe fn free(block: *mut u8, size: usize) {
    // SAFETY: as the caller says.
    let unmapped = unsafe {
        wipe_written(block, size);
        libc::munmap(block.cast(), size)
    };
    // Where the kernel cannot unmap it, the block stays: empty, and counted.
    if unmapped == 0 {
        MAPPED.fetch_sub(1, Relaxed);
    }
}

/// Makes a block larger or smaller. Its pages move with it if it must move, so that nothing stays behind. Null where the
/// kernel refuses: then the block is where it was, with what it keeps.
///
/// # Safety
/// The block is a mapping of the old size. Neither size is 0.
pub(crate) unsafe fn resize(block: *mut u8, old_size: usize, new_size: usize) -> *mut u8 {
    // SAFETY: as the caller says. What is cut off belongs to the block until then.
    unsafe {
        if new_size < old_size {
            wipe_written(block.add(new_size), old_size - new_size);
        }
        let resized = libc::mremap(block.cast(), old_size, new_size, MREMAP_MAYMOVE);
        if resized == MAP_FAILED { ptr::null_mut() } else { resized.cast() }
    }
}

/// Overwrites the part of a mapping that has memory behind it. A page that has none was never written, or is on a swap
/// device, where it cannot be overwritten.
///
/// # Safety
/// These bytes belong to one block, which is a mapping.
unsafe fn wipe_written(start: *mut u8, length: usize) {
    // SAFETY: it takes no pointer. Every system has a page size.
    let page = unsafe { libc::sysconf(_SC_PAGESIZE) } as usize;
    let end = start.addr() + length;
    let mut resident = [0_u8; 256]; // of each page, whether it has memory, in the lowest bit
    let mut from = start.addr() - start.addr() % page;
    while from < end {
        let span = (end - from).min(resident.len() * page);
        // SAFETY: the pages are mapped, and there is a byte for each of them.
        let known = unsafe { libc::mincore(start.with_addr(from).cast(), span, resident.as_mut_ptr()) } == 0;
        for (at, state) in (from..from + span).step_by(page).zip(resident) {
            if !known || state & 1 == 1 {
                let first = at.max(start.addr());
                // SAFETY: from the first byte to the last, within this page, the bytes are the caller's.
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
        // SAFETY: as above; the bytes are used no more.
        unsafe { free(block, SIZE) };
    }

    fn pages_with_memory(block: *mut u8) -> usize {
        let mut resident = vec![0_u8; SIZE.div_ceil(4096)];
        // SAFETY: the pages are mapped, and there is a byte for each of them.
        assert_eq!(unsafe { libc::mincore(block.cast(), SIZE, resident.as_mut_ptr()) }, 0);
        resident.iter().filter(|&&state| state & 1 == 1).count()
    }
}
