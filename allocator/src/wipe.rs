//! Overwrites memory in a way that the compiler keeps.

use std::arch::asm;

/// Writes zeros. The compiler cannot leave them out, although the program never reads them.
///
/// # Safety
/// The bytes from `start` on can be written.
pub(crate) unsafe fn wipe(start: *mut u8, length: usize) {
    // SAFETY: the caller vouches for the bytes. The assembly is empty, but the compiler must assume that it reads them.
    unsafe {
        start.write_bytes(0, length);
        #[cfg(not(miri))]
        asm!("/* {} */", in(reg) start, options(nostack, preserves_flags));
    }
}
