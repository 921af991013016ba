//! What was written to a block is nowhere in the process's memory once the block is freed, moved or made smaller.

#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::indexing_slicing)] // a test that fails should stop
#![allow(missing_docs, unreachable_pub)] // everything here is private to one test binary

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::slice;

use strongroom_allocator::{MAPPED_FROM, MOST_MAPPED, WipingAllocator};

#[allow(dead_code)] // each test binary uses its part
mod support;

use support::{Canary, alone};

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

const MIB: usize = 1 << 20;

/// On both sides of the border, on and beside the ends of pages; more than the allocator asks the kernel of at once.
const SIZES: [usize; 12] = [
    64,
    1000,
    4096,
    40_000,
    MAPPED_FROM - 32,
    MAPPED_FROM,
    MAPPED_FROM + 32,
    MAPPED_FROM + 4096,
    MIB - 32,
    MIB,
    MIB + 64,
    5 * MIB + 96,
];

#[test]
fn a_freed_block_leaves_nothing() {
    let _alone = alone();
    for size in SIZES {
        for align in [1, 64, 4096, 65_536] {
            let block = Block::filled(size, align);
            assert_eq!(Canary::count(), size / Canary::LENGTH, "of {size} bytes aligned to {align}");
            drop(block);
            assert_eq!(Canary::count(), 0, "after a free of {size} bytes aligned to {align}");
        }
    }
}

#[test]
fn a_block_made_larger_or_smaller_leaves_nothing() {
    let _alone = alone();
    for from in SIZES {
        for to in SIZES {
            let mut block = Block::filled(from, 16);
            block.resize(to);
            assert_eq!(Canary::count(), from.min(to) / Canary::LENGTH, "from {from} to {to} bytes");
            drop(block);
            assert_eq!(Canary::count(), 0, "after a free of {to} bytes that were {from}");
        }
    }
}

#[test]
fn the_last_bytes_of_a_large_block_are_wiped_though_those_before_them_were_never_written() {
    let _alone = alone();
    let mut block = Block::new(5 * MIB, 1);
    Canary::fill(&mut block.bytes()[5 * MIB - Canary::LENGTH..]);
    assert_eq!(Canary::count(), 1);
    block.resize(MIB);
    assert_eq!(Canary::count(), 0, "after it was cut off");
    Canary::fill(&mut block.bytes()[MIB - Canary::LENGTH..]);
    drop(block);
    assert_eq!(Canary::count(), 0, "after a free");
}

#[test]
fn a_large_block_that_could_not_be_mapped_leaves_nothing() {
    let _alone = alone();
    for size in [MAPPED_FROM, MIB + 64] {
        for resized in [1024, MAPPED_FROM + 32, 2 * MIB] {
            let mapped: Vec<_> = (0..MOST_MAPPED).map(|_| Block::new(MAPPED_FROM, 1)).collect();
            let mut block = Block::filled(size, 16);
            assert_ne!(block.start.addr() % 4096, 0, "a block that is no mapping does not begin at a page");
            block.resize(resized);
            drop(mapped); // 2 GiB that need not be searched
            assert_eq!(Canary::count(), size.min(resized) / Canary::LENGTH, "from {size} to {resized} bytes");
            drop(block);
            assert_eq!(Canary::count(), 0, "after a free of {resized} bytes that were {size}");
        }
    }
}

/// A block that is freed when it is dropped.
struct Block {
    start: *mut u8,
    layout: Layout,
}

impl Block {
    fn new(size: usize, align: usize) -> Self {
        let layout = Layout::from_size_align(size, align).expect("a layout");
        // SAFETY: no test asks for 0 bytes.
        let start = unsafe { alloc(layout) };
        assert!(!start.is_null());
        Self { start, layout }
    }

    fn filled(size: usize, align: usize) -> Self {
        let mut block = Self::new(size, align);
        Canary::fill(block.bytes());
        block
    }

    fn resize(&mut self, size: usize) {
        // SAFETY: no test asks for 0 bytes.
        self.start = unsafe { realloc(self.start, self.layout, size) };
        assert!(!self.start.is_null());
        self.layout = Layout::from_size_align(size, self.layout.align()).expect("a layout");
    }

    /// They are written before they are read.
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the block has so many bytes, and is borrowed as long as they are.
        unsafe { slice::from_raw_parts_mut(self.start, self.layout.size()) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: the block was allocated with this layout.
        unsafe { dealloc(self.start, self.layout) };
    }
}
