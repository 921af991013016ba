use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use zeroize::Zeroizing;

use super::error::CommandError;

/// The time limit of a command.
const PATIENCE: Duration = Duration::from_secs(30);

/// The output of a command, at most `limit` bytes. The command gets no input. Its standard error is that of this
/// process.
pub(super) fn output_of(command: &str, limit: usize) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    output_within(PATIENCE, command, limit)
}

fn output_within(
    patience: Duration,
    command: &str,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    // A shell that cannot read a command may show the command, which may hold a password, in its error.
    let checked = Command::new("sh")
        .args(["-n", "-c"])
        .arg(command)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !checked.map_err(CommandError::NotStarted)?.success() {
        return Err(CommandError::Malformed);
    }
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stdin(Stdio::null()).stdout(Stdio::piped());
    // A process group of its own, so that everything the shell started ends with it.
    let mut shell = shell.process_group(0).spawn().map_err(CommandError::NotStarted)?;
    let group = i32::try_from(shell.id()).ok().and_then(Pid::from_raw);
    let stdout = shell.stdout.take();
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || {
        // Allocated whole: a buffer that grows leaves copies of the key behind.
        let mut printed = Zeroizing::new(Vec::with_capacity(limit + 1));
        let read = match stdout {
            Some(stdout) => stdout.take(limit as u64).read_to_end(&mut printed),
            None => Ok(0),
        };
        // A command that prints more cannot go on: its pipe is closed.
        let status = shell.wait();
        let _ = sender.send(read.and(status).map(|status| (printed, status)));
    });
    match ended.recv_timeout(patience) {
        Ok(Ok((printed, status))) => succeeded(printed, status, limit),
        Ok(Err(error)) => Err(CommandError::Unreadable(error)),
        Err(_) => {
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::KILL);
            }
            Err(CommandError::TookTooLong(patience.as_secs()))
        }
    }
}

fn succeeded(
    printed: Zeroizing<Vec<u8>>,
    status: ExitStatus,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    // A command that printed too much was ended by the closed pipe.
    if status.success() || printed.len() >= limit { Ok(printed) } else { Err(CommandError::Failed(status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_prints_is_taken_where_it_succeeds() {
        assert_eq!(output_of("printf 'a\\nb'", 100).unwrap().as_slice(), b"a\nb");
        assert_eq!(output_of("cat", 100).unwrap().len(), 0, "there is no input");
        assert!(
            matches!(output_of("echo key; exit 3", 100), Err(CommandError::Failed(status)) if status.code() == Some(3))
        );
        assert!(matches!(output_of("no-such-command-anywhere", 100), Err(CommandError::Failed(_))));
        assert_eq!(output_of("exec yes", 100).unwrap().len(), 100, "no more than that is read");
    }

    #[test]
    fn a_command_that_does_not_end_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("process");
        let command = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let quick = Duration::from_secs(1);
        assert!(matches!(output_within(quick, &command, 100), Err(CommandError::TookTooLong(1))));
        let process: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        // Until its new parent has noticed that it ended.
        let ended = |process| match std::fs::read_to_string(format!("/proc/{process}/stat")) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        while !ended(process) {
            std::thread::yield_now();
        }
    }
}
