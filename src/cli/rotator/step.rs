//! One step of a rotation: the command, in a process group of its own, until it ends or the lease does.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::ExitStatusExt;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

/// The largest value has 64 KiB. One byte more is enough for the service to refuse it.
const ENOUGH: u64 = 64 * 1024 + 1;
/// How long a command has to end by itself after SIGTERM, before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// The steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Create,
    Set,
    Test,
    Finish,
    Abort,
}

impl Name {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Set => "set",
            Self::Test => "test",
            Self::Finish => "finish",
            Self::Abort => "abort",
        }
    }
}

/// What the command finds in its environment.
pub(super) struct Environment {
    pub(super) step: Name,
    pub(super) namespace: String,
    pub(super) secret: String,
    /// 0: there is none yet.
    pub(super) version: u32,
    pub(super) new_value: Option<PathBuf>,
    pub(super) old_value: Option<PathBuf>,
    pub(super) keep_credentials: bool,
}

/// Why a step failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The lease ended first, and the command was killed.
    LeaseOver,
    /// How the command ended, such as `ended with status 3`.
    Ended(String),
}

/// Runs the command for a step. Its output goes to standard error, since standard output is the worker's.
pub(super) async fn run(command: &str, environment: &Environment, ends: Instant) -> Result<(), Failed> {
    let mut child = start(command, environment, Stdio::from(std::io::stderr()), ends)?;
    match timeout_at(ends, child.wait()).await {
        Ok(status) => ended(status),
        Err(_) => Err(kill(&mut child).await),
    }
}

/// Runs the command and returns the bytes that it prints.
pub(super) async fn printed(
    command: &str,
    environment: &Environment,
    ends: Instant,
) -> Result<Zeroizing<Vec<u8>>, Failed> {
    let mut child = start(command, environment, Stdio::piped(), ends)?;
    let mut value = Zeroizing::new(Vec::with_capacity(64 * 1024 + 64));
    let outcome = timeout_at(ends, async {
        if let Some(stdout) = child.stdout.take() {
            stdout.take(ENOUGH).read_to_end(&mut value).await?;
        }
        child.wait().await
    })
    .await;
    match outcome {
        Ok(status) => ended(status)?,
        Err(_) => return Err(kill(&mut child).await),
    }
    // A command ends its output with a line feed, which is no part of the value.
    if value.last() == Some(&b'\n') {
        value.pop();
    }
    if value.is_empty() {
        return Err(Failed::Ended("printed no value".to_owned()));
    }
    Ok(value)
}

fn start(command: &str, environment: &Environment, stdout: Stdio, ends: Instant) -> Result<Child, Failed> {
    if Instant::now() >= ends {
        return Err(Failed::LeaseOver);
    }
    let mut process = Command::new("sh");
    process.arg("-c").arg(command).stdin(Stdio::null()).stdout(stdout).process_group(0).kill_on_drop(true);
    // What an earlier step, or the caller's own environment, had must not be seen.
    for variable in
        ["STRONGROOM_STEP", "STRONGROOM_VERSION", "STRONGROOM_NEW_VALUE_FILE", "STRONGROOM_OLD_VALUE_FILE"]
    {
        process.env_remove(variable);
    }
    if !environment.keep_credentials {
        process.env_remove("STRONGROOM_API_KEY").env_remove("STRONGROOM_API_KEY_FILE");
    }
    process.env("STRONGROOM_STEP", environment.step.as_str());
    process.env("STRONGROOM_NAMESPACE", &environment.namespace).env("STRONGROOM_SECRET", &environment.secret);
    if environment.version > 0 {
        process.env("STRONGROOM_VERSION", environment.version.to_string());
    }
    if let Some(path) = &environment.new_value {
        process.env("STRONGROOM_NEW_VALUE_FILE", path);
    }
    if let Some(path) = &environment.old_value {
        process.env("STRONGROOM_OLD_VALUE_FILE", path);
    }
    process.spawn().map_err(|error| Failed::Ended(format!("cannot be started: {error}")))
}

fn ended(status: std::io::Result<ExitStatus>) -> Result<(), Failed> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failed::Ended(match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with status {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended in an unknown way".to_owned(),
        })),
        Err(error) => Err(Failed::Ended(format!("cannot be waited for: {error}"))),
    }
}

/// Ends the command and all that it started.
async fn kill(child: &mut Child) -> Failed {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = group {
        // A group that is gone needs no signal.
        let _ = kill_process_group(group, Signal::TERM);
        let _ = timeout(GRACE, child.wait()).await;
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait().await;
    Failed::LeaseOver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment {
            step: Name::Set,
            namespace: "team".into(),
            secret: "db_password".into(),
            version: 7,
            new_value: Some("/dev/null".into()),
            old_value: None,
            keep_credentials: false,
        }
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(600)
    }

    #[tokio::test]
    async fn a_step_succeeds_or_says_how_it_ended() {
        let run = async |command: &str| run(command, &environment(), later()).await;
        assert_eq!(run("exit 0").await, Ok(()));
        assert_eq!(run("exit 3").await, Err(Failed::Ended("ended with status 3".into())));
        assert_eq!(run("kill -9 $$").await, Err(Failed::Ended("was ended by signal 9".into())));
    }

    #[tokio::test]
    async fn the_environment_says_which_step_of_which_secret_it_is() {
        let command = "echo $STRONGROOM_STEP $STRONGROOM_NAMESPACE $STRONGROOM_SECRET $STRONGROOM_VERSION \
                       $STRONGROOM_NEW_VALUE_FILE ${STRONGROOM_OLD_VALUE_FILE-none} ${STRONGROOM_API_KEY-none}";
        let printed = printed(command, &environment(), later()).await.unwrap();
        assert_eq!(std::str::from_utf8(&printed).unwrap(), "set team db_password 7 /dev/null none none");
    }

    #[tokio::test]
    async fn a_command_that_prints_nothing_makes_no_value() {
        let outcome = printed("true", &environment(), later()).await;
        assert_eq!(outcome.unwrap_err(), Failed::Ended("printed no value".into()));
    }

    #[tokio::test]
    async fn the_end_of_the_lease_ends_the_command_and_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let command = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
        let started = Instant::now();
        let outcome = run(&command, &environment(), Instant::now() + Duration::from_secs(1)).await;
        assert_eq!(outcome, Err(Failed::LeaseOver));
        assert!(started.elapsed() < Duration::from_secs(300));
        let pid = std::fs::read_to_string(&pid_file).unwrap();
        // A process that nobody has waited for yet is still listed, as a zombie.
        let alive = || {
            std::fs::read_to_string(format!("/proc/{}/status", pid.trim()))
                .is_ok_and(|status| !status.contains("State:\tZ"))
        };
        // The system ends a process some time after it was sent the signal.
        while alive() {
            assert!(started.elapsed() < Duration::from_secs(300));
            std::thread::yield_now();
        }
        assert_eq!(run("true", &environment(), started).await, Err(Failed::LeaseOver));
    }
}
