//! What this process asks of the operating system, so that what it holds in memory stays there: no core dump, no
//! other process of the same user that reads its memory, and nothing on a swap device.

#[cfg(target_os = "linux")]
use rustix::mm::{MlockAllFlags, mlockall};
#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, getrlimit, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Guards the memory of a process that holds keys for as long as it lives. What the system does not grant is said in
/// the log, and is no reason not to serve.
pub fn guard_memory() {
    let (hidden, limited) = (hide_memory(), limit_dumps()); // either helps without the other
    if let Err(error) = hidden.and(limited) {
        tracing::warn!(cause = %error, "core dumps could not be turned off: one would hold keys and values");
    }
    if let Err(error) = lock_memory() {
        tracing::info!(
            cause = %error,
            "memory may be swapped: allow it to be locked (in systemd LimitMEMLOCK=infinity, or the capability \
             CAP_IPC_LOCK), or use no swap, or an encrypted one"
        );
    }
}

/// Has the system refuse core dumps of this process, and refuse its memory to all but root. A program that takes its
/// place is not bound by that.
#[cfg(target_os = "linux")]
pub fn hide_memory() -> std::io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// There is nothing of the kind here.
#[cfg(not(target_os = "linux"))]
pub fn hide_memory() -> std::io::Result<()> {
    Ok(())
}

/// No core dump, for this process and what it starts.
fn limit_dumps() -> std::io::Result<()> {
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

/// Keeps all memory, now and later, from being swapped; only where no limit could then refuse memory to the service.
#[cfg(target_os = "linux")]
fn lock_memory() -> std::io::Result<()> {
    let limit = getrlimit(Resource::Memlock);
    let unlimited = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }).is_ok();
    if !unlimited {
        // Under a limit of 0 only the capability lets it through, which is then bound by no limit.
        setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: limit.maximum })?;
    }
    // Only what is in use: most of a thread's stack never is.
    let locked = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    if locked.is_err() || !unlimited {
        setrlimit(Resource::Memlock, limit)?;
    }
    Ok(locked?)
}

/// There is no such call here.
#[cfg(not(target_os = "linux"))]
fn lock_memory() -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Calls a function that works on values, and then overwrites the part of the stack that it can have used: `DEPTH` bytes.
pub fn wiping_stack<const DEPTH: usize, T>(call: impl FnOnce() -> T) -> T {
    let done = apart(call);
    wipe::<DEPTH>();
    done
}

/// With a frame of its own, below that of the caller, so that `wipe` begins where it does.
#[inline(never)]
fn apart<T>(call: impl FnOnce() -> T) -> T {
    call()
}

#[inline(never)]
fn wipe<const DEPTH: usize>() {
    std::hint::black_box(&mut [0_u8; DEPTH]);
}
