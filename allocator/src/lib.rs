//! A global allocator that wipes memory before it gives it back.
//!
//! **The threat.** A process that handles secrets copies them into buffers of many libraries. A freed buffer keeps its
//! bytes until something else is written there. Whoever reads the process's memory later (through a bug, a debugger, a
//! core dump) finds them. So no freed block, and no block that moved, may keep its bytes.
//!
//! **The rule.**
//! - A block below [`MAPPED_FROM`] bytes comes from the system's allocator. Freeing it overwrites all of it.
//! - A larger block is a memory mapping of its own. Freeing it overwrites the pages that were written, and unmaps all.
//! - A block that grows or shrinks across that border is copied, and the old block is freed as above.
//!
//! **The cost.** A large block costs what was written to it, not what was reserved: a page that nobody wrote has no memory
//! behind it, and stays so. A large block grows and shrinks without a copy, because the kernel moves its pages. A small
//! block is overwritten whole, which is cheap below the border, and is copied when it grows: the system's `realloc` may
//! move a block, and would then leave the old bytes behind.
//!
//! **The limits.** The kernel allows a process 65,530 mappings by default, and the process needs some for itself. From
//! [`MOST_MAPPED`] live mappings on, and where the kernel refuses one, large blocks come from the system's allocator too
//! and are overwritten whole. So is a block that must be aligned to a page or more, which only sled's 8 MiB buffers are,
//! and every block on systems other than Linux.
//!
//! This crate has the only unsafe code of the project. `src/main.rs` installs it, for the server and for the command line.

mod system;
mod wipe;

#[cfg(target_os = "linux")]
mod mapping;
#[cfg(not(target_os = "linux"))]
#[path = "no_mapping.rs"]
mod mapping;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

pub use self::mapping::MOST_MAPPED;

/// The size in bytes from which a block is mapped by itself.
///
/// Below it, overwriting a block whole costs less than the kernel's calls and page faults do. It is above the largest value
/// (64 KiB) with its message around it, so that serving values makes no mappings.
pub const MAPPED_FROM: usize = 128 * 1024;

/// The smallest page that a kernel has. Every mapping begins at a multiple of it.
const SMALLEST_PAGE: usize = 4096;

/// The allocator. Install it with `#[global_allocator]`. It holds nothing and takes no lock.
pub struct WipingAllocator;

// SAFETY: each block is either the system allocator's or a mapping, and `origin` tells from the address and the layout
// which one it is, so that it goes back to where it came from. Neither source gives the same memory twice.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout's size is not 0, says the caller.
        unsafe { new(layout, system::alloc) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above. A fresh mapping is zero.
        unsafe { new(layout, system::alloc_zeroed) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from here with this layout, says the caller, and `origin` says from which source.
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
            // SAFETY: the block is a mapping of this size, and so is what becomes of it.
            let resized = unsafe { mapping::resize(block, layout.size(), new_size) };
            if !resized.is_null() {
                return resized;
            }
        }
        // SAFETY: the new size is not 0 and fits the alignment, says the caller; two blocks never overlap.
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

/// Whether a block gets a mapping of its own, as long as there is one to be had.
fn is_mappable(layout: Layout) -> bool {
    cfg!(target_os = "linux") && layout.size() >= MAPPED_FROM && layout.align() < SMALLEST_PAGE
}

/// A new block, or null. `from_system` is the function that gives it where there is no mapping.
unsafe fn new(layout: Layout, from_system: unsafe fn(Layout) -> *mut u8) -> *mut u8 {
    if !is_mappable(layout) {
        // SAFETY: the layout's size is not 0, says the caller.
        return unsafe { from_system(layout) };
    }
    let mapped = mapping::new(layout.size());
    if !mapped.is_null() {
        return mapped;
    }
    // SAFETY: as above.
    unsafe { system::off_page(layout, from_system) }
}
