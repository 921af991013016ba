//! The memory that the system's allocator keeps for later, and its return to the system.

/// How many bytes the system's allocator holds that are in no block. 0 where it does not tell.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn unused() -> usize {
    // SAFETY: the function only reads the allocator's own counts, under its locks.
    unsafe { libc::mallinfo2() }.fordblks
}

/// Gives the whole pages among those bytes back to the system. Pages of locked memory stay: unlock them first.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back_unused() {
    // SAFETY: the function takes the allocator's locks; no block in use moves or changes.
    unsafe { libc::malloc_trim(0) };
}

/// This system's allocator does not tell.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn unused() -> usize {
    0
}

/// This system's allocator decides by itself.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back_unused() {}
