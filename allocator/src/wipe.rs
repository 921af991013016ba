//! Overwrites memory in a way that the compiler keeps.

use std::arch::asm;

/// Writes zeros. A compiler that sees that nobody reads them again must write them nevertheless.
///
/// # Safety
/// The bytes from `start` on can be written.
pub(crate) unsafe fn wipe(start: *mut u8, length: usize) {
    // SAFETY: the caller vouches for the bytes. The assembly is empty: for the compiler it may read all that the pointer
    // leads to, so the zeros must be there by then.
    unsafe {
        start.write_bytes(0, length);
        #[cfg(not(miri))]
        asm!("/* {} */", in(reg) start, options(nostack, preserves_flags));
    }
}
