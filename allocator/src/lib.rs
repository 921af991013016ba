//! A global allocator that wipes memory before it gives it back.
//!
//! **The threat.** Libraries copy secrets into buffers of their own. A freed buffer keeps its bytes until something else is
//! written there. A later reader of the process's memory (through a bug, a debugger or a core dump) would find them. So
//! no block keeps its bytes once it is freed or moved, and no block keeps the part that is cut off.
//!
//! **The rule.**
//! - A block below [`MAPPED_FROM`] bytes comes from the system's allocator. Freeing it overwrites all of it.
//! - A larger block is a memory mapping of its own. Freeing it overwrites the pages that were written, and unmaps all.
//! - A block that grows or shrinks across that border is copied, and the old block is freed as above.
//!
//! **The cost.**
//! - A large block costs what was written to it, not what was reserved: a page that was never written has no memory behind
//!   it, and the free does not change that. The block grows and shrinks without a copy, because the kernel moves its pages.
//! - The first write to each page of a large block is a page fault. So a large block that is written whole takes longer
//!   than one of the system's allocator, which reuses memory.
//! - A small block is overwritten whole, which is cheap below the border. It is copied when its size changes: the system's
//!   `realloc` may move a block, and would then leave the old bytes behind.
//!
//! **The limits.** The system's allocator also gives these large blocks, and they are overwritten whole:
//! - those beyond [`MOST_MAPPED`] live mappings, because the kernel allows a process only 65,530 mappings by default;
//! - those for which the kernel refuses a mapping;
//! - those aligned to a page or more, of which the project has only sled's write buffers of 8 MiB;
//! - all of them on systems other than Linux.
//!
//! This crate has the only unsafe code of the project. `src/main.rs` installs it, for the server and for the command line.

mod system;
mod unused;
mod wipe;

#[cfg(target_os = "linux")]
mod mapping;
#[cfg(not(target_os = "linux"))]
#[path = "no_mapping.rs"]
mod mapping;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

pub use self::mapping::MOST_MAPPED;
pub use self::unused::{give_back_unused, unused};

/// The size in bytes from which a block is mapped by itself.
///
/// Below it, overwriting a block whole costs less than the kernel's calls and page faults. The largest value (64 KiB) with
/// its message around it is smaller, so that serving values makes no mappings.
pub const MAPPED_FROM: usize = 128 * 1024;

/// The smallest page that a kernel has. Every mapping begins at a multiple of it.
const SMALLEST_PAGE: usize = 4096;

/// The allocator, for `#[global_allocator]`. It has no state of its own and takes no lock of its own.
pub struct WipingAllocator;

// SAFETY: each block is either the system allocator's or a mapping, and `origin` tells from the address and the layout
// which one it is, so that it goes back to where it came from. Neither source gives the same memory twice.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller says that the layout's size is not 0.
        unsafe { new(layout, system::alloc) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above. A fresh mapping is zero.
        unsafe { new(layout, system::alloc_zeroed) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller says that the block came from here with this layout; `origin` says from which source.
        unsafe {
            match origin(block, layout) {
                Origin::Mapping => mapping::free(block, layout.size()),
                Origin::System => system::free(block, layout),
                Origin::OffPage => system::free_off_page(block, layout),
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if new_size >= MAPPED_FROM && origin(block, layout) == Origin::Mapping {
            // SAFETY: the block is a mapping of this size, and the resized block is one too.
            let resized = unsafe { mapping::resize(block, layout.size(), new_size) };
            if !resized.is_null() {
                return resized;
            }
        }
        // SAFETY: the caller says that the new size is not 0 and fits the alignment; two blocks never overlap.
        unsafe {
            let copy = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !copy.is_null() {
                ptr::copy_nonoverlapping(block, copy, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            copy
        }
    }
}

/// Where a block came from.
#[derive(PartialEq, Eq)]
enum Origin {
    /// A mapping of its own, which begins at a page.
    Mapping,
    /// The system's allocator.
    System,
    /// The system's allocator, in place of a mapping. It never begins at a page, which tells it from a mapping.
    OffPage,
}

fn origin(block: *mut u8, layout: Layout) -> Origin {
    if !is_mappable(layout) {
        Origin::System
    } else if block.addr().is_multiple_of(SMALLEST_PAGE) {
        Origin::Mapping
    } else {
        Origin::OffPage
    }
}

/// Whether a block gets a mapping of its own, unless the limit is reached or the kernel refuses.
fn is_mappable(layout: Layout) -> bool {
    cfg!(target_os = "linux") && layout.size() >= MAPPED_FROM && layout.align() < SMALLEST_PAGE
}

/// A new block, or null. `from_system` gives the block where there is no mapping for it.
unsafe fn new(layout: Layout, from_system: unsafe fn(Layout) -> *mut u8) -> *mut u8 {
    if !is_mappable(layout) {
        // SAFETY: the caller says that the layout's size is not 0.
        return unsafe { from_system(layout) };
    }
    let mapped = mapping::new(layout.size());
    if !mapped.is_null() {
        return mapped;
    }
    // SAFETY: as above.
    unsafe { system::off_page(layout, from_system) }
}
