//! Keeps secrets in this process's memory: no core dump, no other process of the same user that reads the memory, nothing on
//! a swap device, and nothing left on the stack of functions that work on values.

use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_os = "linux")]
use rustix::mm::{MlockAllFlags, mlockall, munlockall};
#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, getrlimit, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Guards the memory of a process that holds keys, for as long as the process lives. A guard that the system does not grant
/// is named in the log; the service runs without it.
pub fn guard_memory() {
    let (hidden, limited) = (hide_memory(), limit_dumps()); // each one helps without the other
    if let Err(error) = hidden.and(limited) {
        tracing::warn!(cause = %error, "core dumps could not be turned off: a core dump would hold keys and values");
    }
    let locked = lock_memory();
    LOCKED.store(locked.is_ok(), Ordering::Relaxed);
    if let Err(error) = locked {
        tracing::info!(
            cause = %error,
            "memory may be swapped: allow it to be locked (in systemd LimitMEMLOCK=infinity, or the capability \
             CAP_IPC_LOCK), or use no swap, or an encrypted one"
        );
    }
}

/// Whether all memory of this process is locked.
static LOCKED: AtomicBool = AtomicBool::new(false);

/// Gives memory that was freed back to the system, as far as whole pages are free. The system keeps locked pages, so memory is
/// unlocked for that moment. All of it had been overwritten when it was freed.
#[cfg(target_os = "linux")]
pub fn give_back_memory() {
    if !LOCKED.load(Ordering::Relaxed) {
        return strongroom_allocator::give_back_unused();
    }
    if munlockall().is_ok() {
        strongroom_allocator::give_back_unused();
    }
    if let Err(error) = lock_memory() {
        LOCKED.store(false, Ordering::Relaxed);
        tracing::warn!(cause = %error, "memory could not be locked again, and may be swapped from now on");
    }
}

/// Elsewhere, the system's allocator decides by itself.
#[cfg(not(target_os = "linux"))]
pub fn give_back_memory() {}

/// Makes the system refuse core dumps of this process, and refuse its memory to all users but root. A program that this
/// process executes in its place is not protected.
#[cfg(target_os = "linux")]
pub fn hide_memory() -> std::io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// This system has no such setting.
#[cfg(not(target_os = "linux"))]
pub fn hide_memory() -> std::io::Result<()> {
    Ok(())
}

/// Turns core dumps off for this process and its children.
fn limit_dumps() -> std::io::Result<()> {
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

/// Locks all memory, now and later, so that it is not swapped. Does so only where no limit on locked memory could then refuse
/// memory to the service.
#[cfg(target_os = "linux")]
fn lock_memory() -> std::io::Result<()> {
    let limit = getrlimit(Resource::Memlock);
    let unlimited = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }).is_ok();
    if !unlimited {
        // Under a limit of 0, only a process with the capability can lock memory, and that process is bound by no limit.
        setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: limit.maximum })?;
    }
    // Only pages in use are locked: most of a thread's stack never is in use.
    let locked = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    if locked.is_err() || !unlimited {
        setrlimit(Resource::Memlock, limit)?;
    }
    Ok(locked?)
}

/// This system has no such call.
#[cfg(not(target_os = "linux"))]
fn lock_memory() -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Calls a function that works on values, and then overwrites the part of the stack that the function may have used: `DEPTH`
/// bytes.
pub fn wiping_stack<const DEPTH: usize, T>(call: impl FnOnce() -> T) -> T {
    let done = apart(call);
    wipe::<DEPTH>();
    done
}

/// Calls in a frame of its own, below the caller's, so that `wipe` begins at the same place of the stack.
#[inline(never)]
fn apart<T>(call: impl FnOnce() -> T) -> T {
    call()
}

#[inline(never)]
fn wipe<const DEPTH: usize>() {
    std::hint::black_box(&mut [0_u8; DEPTH]);
}
