//! The priority of the threads that write logs.
//!
//! A thread that is woken for a record would run at once, in place of a thread that serves requests, and would write that one
//! record. With a lower priority it waits until the requests that are ready have had their turns, and writes the records of all
//! of them together.

#[cfg(target_os = "linux")]
use rustix::process::{getpriority_process, setpriority_process};

/// By how much the priority is lower, as `nice` counts.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// Lowers the priority of this thread. Where the system refuses, the thread runs as before.
#[cfg(target_os = "linux")]
pub fn lower_priority() {
    let thread = Some(rustix::thread::gettid());
    let lowered = getpriority_process(thread).and_then(|nice| setpriority_process(thread, nice + NICE));
    if let Err(error) = lowered {
        tracing::debug!(cause = %error, "the priority of a thread that writes a log stays as it is");
    }
}

/// Elsewhere a priority is that of the whole process.
#[cfg(not(target_os = "linux"))]
pub fn lower_priority() {}
