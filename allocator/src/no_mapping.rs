//! What stands in for mappings on systems other than Linux: there are none, so that every block is the system allocator's.

use std::ptr;

/// How many blocks are mapped at most.
pub const MOST_MAPPED: usize = 0;

/// None is to be had.
pub(crate) fn new(_size: usize) -> *mut u8 {
    ptr::null_mut()
}

/// Never called, for no block is a mapping.
pub(crate) unsafe fn free(_block: *mut u8, _size: usize) {}

/// Never called, for no block is a mapping.
pub(crate) unsafe fn resize(_block: *mut u8, _old_size: usize, _new_size: usize) -> *mut u8 {
    ptr::null_mut()
}
