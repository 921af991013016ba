//! Stands in for `mapping` on systems other than Linux: no block is a mapping there.

use std::ptr;

/// How many blocks are mapped at most.
pub const MOST_MAPPED: usize = 0;

/// Always null.
pub(crate) fn new(_size: usize) -> *mut u8 {
    ptr::null_mut()
}

/// Never called, because no block is a mapping.
pub(crate) unsafe fn free(_block: *mut u8, _size: usize) {}

/// Never called, because no block is a mapping.
pub(crate) unsafe fn resize(_block: *mut u8, _old_size: usize, _new_size: usize) -> *mut u8 {
    ptr::null_mut()
}
