//! `strongroom run --watch`: stays beside the command, and restarts it or sends it a signal when a value changes.
//!
//! The watch begins at the revision that the values were read at, so no change between the two is missed. An event of a secret
//! leads to a new read, and only a value that is another one leads to more: a description that changes disturbs nobody.

use std::future::pending;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use strongroom_client::{Client, Code, Error, Step, Watch, v1};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{Run, Variables};
use crate::cli::failure::{self, Failure};
use crate::cli::outage::Outage;

/// The pause before the values are read again, after the service could not be asked.
const PAUSE: Duration = Duration::from_secs(5);

/// What happens when a value changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum OnChange {
    Restart,
    Send(Signal),
}

/// Reads what is to happen from an argument.
pub(in crate::cli) fn on_change(text: &str) -> Result<OnChange, &'static str> {
    let name = text.to_ascii_uppercase();
    Ok(match name.strip_prefix("SIG").unwrap_or(&name) {
        "RESTART" => OnChange::Restart,
        "HUP" => OnChange::Send(Signal::HUP),
        "INT" => OnChange::Send(Signal::INT),
        "QUIT" => OnChange::Send(Signal::QUIT),
        "TERM" => OnChange::Send(Signal::TERM),
        "USR1" => OnChange::Send(Signal::USR1),
        "USR2" => OnChange::Send(Signal::USR2),
        _ => return Err("expected restart, or one of the signals HUP, INT, QUIT, TERM, USR1 and USR2"),
    })
}

/// Runs the command until it ends by itself; returns its exit code as a failure.
pub(super) async fn run(settings: &Run, client: &Client, on_change: OnChange) -> Result<Failure, Failure> {
    let mut variables = settings.variables(client).await?;
    let outage = Outage::default();
    let mut watch = Some(watch(settings, client, &variables, &outage));
    let renewed = client.renews_credential().then_some(&outage);
    let mut signals = passed_on()?;
    let mut child = start(settings, &variables)?;
    // Whether the values are to be read again, since the last attempt failed.
    let mut again = false;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(ended(status)),
            Some(signal) = signals.recv() => {
                send(&child, signal);
                continue;
            }
            changed = next_change(&mut watch, settings, &variables, renewed) => {
                if let Err(error) = changed {
                    // The command works with the values that it has, and ends when its owner ends it.
                    failure::note(&format!("the secrets are not watched any more, and the command goes on: {error}"));
                    watch = None;
                    continue;
                }
            }
            () = sleep(PAUSE), if again => {}
        }
        let fresh = match settings.variables(client).await {
            Ok(fresh) => fresh,
            Err(failure) => {
                if !again {
                    let why = failure.brief();
                    failure::note(&format!(
                        "the values cannot be read, and the command goes on with those it has: {why}"
                    ));
                }
                again = failure.is_of_the_connection();
                continue;
            }
        };
        if std::mem::take(&mut again) {
            failure::note("the values can be read again");
        }
        if fresh.values == variables.values {
            continue;
        }
        variables = fresh;
        match on_change {
            OnChange::Send(signal) => send(&child, signal),
            OnChange::Restart => {
                failure::note("a value has changed: the command is restarted");
                stop(&mut child, settings).await;
                child = start(settings, &variables)?;
            }
        }
    }
}

/// The changes of the secrets from the moment on at which the values were read.
fn watch(settings: &Run, client: &Client, variables: &Variables, outage: &Outage) -> Watch {
    // Other secrets than the selected ones can be named by --env.
    let prefix = if settings.env.is_empty() { settings.common_prefix() } else { String::new() };
    let request = v1::WatchSecretsRequest {
        name_prefix: prefix,
        after_revision: variables.revision,
        ..v1::WatchSecretsRequest::default()
    };
    outage.told_of(client.secrets().watch(request).snapshot_again())
}

/// Waits for an event of a secret that the command has, or of one that it would have; for ever where nothing is watched.
///
/// `renewed`: who is told that the API key is refused, where its file can get another key. The watch reads the file again, after a
/// pause that grows with each refusal.
async fn next_change(
    watch: &mut Option<Watch>,
    settings: &Run,
    variables: &Variables,
    renewed: Option<&Outage>,
) -> Result<(), Error> {
    let Some(watch) = watch else { return pending().await };
    loop {
        let event = match (watch.next().await, renewed) {
            (Ok(Step::Event(event)), _) => event,
            (Ok(Step::Bookmark(_)), _) => continue,
            (Ok(Step::Restarted), _) => return Ok(()),
            (Err(error), Some(outage)) if error.code() == Code::Unauthenticated => {
                outage.lasts(&error);
                continue;
            }
            (Err(error), _) => return Err(error),
        };
        let name = event.secret.as_ref().map(|secret| secret.name.as_str()).unwrap_or_default();
        let former = event.former_name.as_deref().unwrap_or_default();
        let named = variables.secrets.contains(name) || variables.secrets.contains(former);
        if settings.selected(name) || named {
            return Ok(());
        }
    }
}

fn start(settings: &Run, variables: &Variables) -> Result<Child, Failure> {
    let mut command = Command::from(settings.command_with(variables));
    // When this process fails, the command must not stay behind.
    command.kill_on_drop(true);
    command.spawn().map_err(|error| settings.not_started(&error))
}

/// Ends the command: it is asked, and killed if it takes too long.
async fn stop(child: &mut Child, settings: &Run) {
    send(child, Signal::TERM);
    if timeout(settings.stop_timeout, child.wait()).await.is_err() {
        failure::note("the command did not end after SIGTERM, so it is killed");
        let _ = child.kill().await;
    }
}

fn send(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // A command that has just ended needs no signal.
        let _ = kill_process(pid, signal);
    }
}

/// The signals that this process receives and passes on.
fn passed_on() -> Result<mpsc::Receiver<Signal>, Failure> {
    let (sender, receiver) = mpsc::channel(16);
    for (kind, passed) in [
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::hangup(), Signal::HUP),
        (SignalKind::quit(), Signal::QUIT),
        (SignalKind::user_defined1(), Signal::USR1),
        (SignalKind::user_defined2(), Signal::USR2),
    ] {
        let listen = |error| Failure::local(format!("the signals cannot be listened for: {error}"));
        let mut signals = signal(kind).map_err(listen)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if sender.send(passed).await.is_err() {
                    break;
                }
            }
        });
    }
    Ok(receiver)
}

/// The exit code of a command that has ended, as a shell gives it.
fn ended(status: std::io::Result<ExitStatus>) -> Failure {
    match status {
        Ok(status) => {
            let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
            Failure::ended(u8::try_from(code).unwrap_or(1))
        }
        Err(error) => Failure::local(format!("the command cannot be waited for: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_restarts_or_sends_a_signal() {
        for (text, expected) in [
            ("restart", OnChange::Restart),
            ("HUP", OnChange::Send(Signal::HUP)),
            ("sighup", OnChange::Send(Signal::HUP)),
            ("SIGUSR1", OnChange::Send(Signal::USR1)),
        ] {
            assert_eq!(on_change(text), Ok(expected));
        }
        for text in ["", "KILL", "9", "reload"] {
            assert!(on_change(text).is_err(), "{text}");
        }
    }
}
