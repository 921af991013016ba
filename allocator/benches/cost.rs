//! What it costs to allocate, write and free a block: by the system's allocator, which wipes nothing; by one that overwrites
//! each freed block whole; and by this crate's. Run it with `cargo bench -p strongroom-allocator`.
//!
//! Each number is the median of many rounds, in nanoseconds.

// It reports on a terminal, and stops at the first surprise.
#![allow(missing_docs, clippy::print_stdout, clippy::expect_used, clippy::indexing_slicing)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::time::Instant;

use strongroom_allocator::WipingAllocator;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Overwrites all of a freed block, and copies each block that grows.
struct WipingWhole;

// SAFETY: the system's allocator, but for the zeros before each free.
unsafe impl GlobalAlloc for WipingWhole {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller says; the block has this size.
        unsafe {
            black_box(block).write_bytes(0, layout.size());
            System.dealloc(black_box(block), layout);
        }
    }
}

fn main() {
    println!("{:<36}{:>12}{:>14}{:>12}", "", "no wiping", "wiping whole", "this crate");
    let cases = [
        ("256 B, all written", 256, 256),
        ("16 KiB, all written", 16 * KIB, 16 * KIB),
        ("64 KiB, all written", 64 * KIB, 64 * KIB),
        ("128 KiB, all written", 128 * KIB, 128 * KIB),
        ("256 KiB, all written", 256 * KIB, 256 * KIB),
        ("1 MiB, all written", MIB, MIB),
        ("1 MiB, 14 bytes written", MIB, 14),
        ("4 MiB, all written", 4 * MIB, 4 * MIB),
        ("4 MiB, 14 bytes written", 4 * MIB, 14),
    ];
    for (name, size, written) in cases {
        report(
            name,
            [
                cost(&System, size, written),
                cost(&WipingWhole, size, written),
                cost(&WipingAllocator, size, written),
            ],
        );
    }
    for (name, last) in
        [("doubled from 256 B to 64 KiB", 64 * KIB), ("doubled from 256 B to 16 MiB", 16 * MIB)]
    {
        report(name, [growth(&System, last), growth(&WipingWhole, last), growth(&WipingAllocator, last)]);
    }
}

fn report(name: &str, [none, whole, ours]: [u128; 3]) {
    println!("{name:<36}{none:>12}{whole:>14}{ours:>12}");
}

/// A block that is allocated, written from its beginning, and freed.
fn cost(allocator: &impl GlobalAlloc, size: usize, written: usize) -> u128 {
    let layout = Layout::from_size_align(size, 16).expect("a layout");
    median(|| {
        // SAFETY: the size is not 0, no more than it is written, and the block is freed with its layout.
        unsafe {
            let block = allocator.alloc(layout);
            assert!(!block.is_null());
            black_box(block).write_bytes(0xa5, written);
            allocator.dealloc(black_box(block), layout);
        }
    })
}

/// A block that is written whole and made twice as large, until it has the last size.
fn growth(allocator: &impl GlobalAlloc, last: usize) -> u128 {
    median(|| {
        let mut layout = Layout::from_size_align(256, 16).expect("a layout");
        // SAFETY: as above; after each step the layout has the new size.
        unsafe {
            let mut block = allocator.alloc(layout);
            loop {
                assert!(!block.is_null());
                black_box(block).write_bytes(0xa5, layout.size());
                if layout.size() >= last {
                    break;
                }
                let larger = layout.size() * 2;
                block = allocator.realloc(black_box(block), layout, larger);
                layout = Layout::from_size_align(larger, 16).expect("a layout");
            }
            allocator.dealloc(black_box(block), layout);
        }
    })
}

/// The median of as many rounds as fit in a fifth of a second, at least nine.
fn median(mut round: impl FnMut()) -> u128 {
    let mut taken = Vec::new();
    let began = Instant::now();
    while taken.len() < 9 || (began.elapsed().as_millis() < 200 && taken.len() < 100_000) {
        let before = Instant::now();
        round();
        taken.push(before.elapsed().as_nanos());
    }
    taken.sort_unstable();
    taken[taken.len() / 2]
}
