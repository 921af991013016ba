//! Blocks of the system's allocator. They are overwritten whole before they go back to it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

use crate::SMALLEST_PAGE;
use crate::wipe::wipe;

/// As [`GlobalAlloc::alloc`].
pub(crate) unsafe fn alloc(layout: Layout) -> *mut u8 {
    // SAFETY: the layout's size is not 0, says the caller.
    unsafe { System.alloc(layout) }
}

/// As [`GlobalAlloc::alloc_zeroed`].
pub(crate) unsafe fn alloc_zeroed(layout: Layout) -> *mut u8 {
    // SAFETY: the layout's size is not 0, says the caller.
    unsafe { System.alloc_zeroed(layout) }
}

/// As [`GlobalAlloc::dealloc`].
pub(crate) unsafe fn free(block: *mut u8, layout: Layout) {
    // SAFETY: the block came from `alloc` or `alloc_zeroed` with this layout, says the caller.
    unsafe {
        wipe(block, layout.size());
        System.dealloc(block, layout);
    }
}

/// A block that does not begin at a page, for a layout that is aligned to less than a page: the rest of a block that does.
pub(crate) unsafe fn off_page(layout: Layout, from_system: unsafe fn(Layout) -> *mut u8) -> *mut u8 {
    let Some((whole, offset)) = around(layout) else { return ptr::null_mut() };
    // SAFETY: the whole is larger than the block.
    unsafe {
        let start = from_system(whole);
        if start.is_null() { start } else { start.add(offset) }
    }
}

/// Frees a block that [`off_page`] gave for this layout.
pub(crate) unsafe fn free_off_page(block: *mut u8, layout: Layout) {
    if let Some((whole, offset)) = around(layout) {
        // SAFETY: the whole began so much before the block.
        unsafe { free(block.sub(offset), whole) }
    }
}

/// The layout of the whole, and where in it the block begins. `None` where the size would overflow.
fn around(layout: Layout) -> Option<(Layout, usize)> {
    let offset = layout.align().max(align_of::<u128>());
    let size = layout.size().checked_add(offset)?;
    Some((Layout::from_size_align(size, SMALLEST_PAGE).ok()?, offset))
}
