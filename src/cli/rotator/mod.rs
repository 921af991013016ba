//! `strongroom rotator` is a worker: it takes the rotations that are due, and makes each with a command.
//!
//! It learns of due rotations by a watch, and asks regularly as well. One rotation is made at a time: see [`rotation`].

mod credentials;
mod rotation;
mod step;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use strongroom_client::{Client, Error, ErrorReason, Step, Watch, v1};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use self::rotation::{Outcome, Rotation};
use super::connect::Connection;
use super::failure::{self, Failure};
use super::metadata;
use super::outage::Outage;
use super::output::{self, Output};
use super::{generator, on_runtime};

/// How long the worker waits for an event before it asks whether a rotation is due.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// The pause after the service could not be asked.
const PAUSE: Duration = Duration::from_secs(5);

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Make the rotations that are due, each with a command\n\n\
A rotation is due when a secret has a rotation policy without a generator and its time has come. The worker takes it under \
a lease, so that no other worker takes it, and stages a new value. Then it runs the command for each step, and makes the \
new version the current one between 'test' and 'finish'.";

const STEPS: &str = "The command is run by sh for each of these steps, with the step in STRONGROOM_STEP:
  set     let the new value be accepted where it is used; the old one must stay accepted
  test    try the new value
  finish  the new version is current now; this is the time to clean up
  abort   undo what 'set' did: 'set' or 'test' failed, or a version was left pending

The values are in files that only this user can read, and that are removed after the step. Their \
names are in STRONGROOM_NEW_VALUE_FILE and STRONGROOM_OLD_VALUE_FILE. 'abort' has no new value if \
the version was left pending, and there is no old value if it cannot be read. STRONGROOM_NAMESPACE, \
STRONGROOM_SECRET and STRONGROOM_VERSION say which version is made. A step fails if the command \
ends with another status than 0.

The API key needs the rights list and rotate; read for the old value; and delete, to remove a \
version that failed.

Examples:
  strongroom rotator --prefix db_ --exec ./rotate-postgres.sh
  strongroom rotator --metadata kind=postgres --generate password:40 --lease 10m --exec ./rotate.sh
  strongroom rotator --once --create ./new-value.sh --exec ./rotate.sh";

/// The arguments of `strongroom rotator`.
#[derive(clap::Args)]
#[command(after_help = STEPS)]
pub(super) struct Rotator {
    /// Take only secrets whose names begin with PREFIX
    #[arg(long, default_value = "", value_name = "PREFIX", hide_default_value = true)]
    prefix: String,

    /// Take only secrets with this pair of metadata; if given several times, secrets with all of the pairs
    #[arg(long, value_name = "KEY=VALUE", value_parser = metadata::pair)]
    metadata: Vec<(String, String)>,

    /// How long one rotation may take; a step that runs at its end is killed
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = crate::config::parse_duration, allow_hyphen_values = true)]
    lease: Duration,

    /// Make the rotations that are due now, each secret once, and end
    #[arg(long)]
    once: bool,

    /// Let the service generate each new value, such as password:40, hex:32 or uuid [default: password:32]
    #[arg(long, value_name = "SPEC", value_parser = value_generator)]
    generate: Option<v1::Generator>,

    /// Take each new value from the standard output of this command, for values with several parts
    ///
    /// sh runs it with the step 'create', and with the old value as for the other steps.
    #[arg(long, value_name = "COMMAND", conflicts_with = "generate")]
    create: Option<String>,

    /// The command that is run for each step
    #[arg(long, value_name = "COMMAND", required = true)]
    exec: String,

    /// Keep the API key in the command's environment
    #[arg(long)]
    keep_credentials: bool,
}

/// A request to end, by SIGTERM or SIGINT.
#[derive(Default)]
struct Stop {
    asked: AtomicBool,
    notify: Notify,
}

impl Stop {
    fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until the worker is asked to end.
    async fn wait(&self) {
        let notified = self.notify.notified();
        if !self.asked() {
            notified.await;
        }
    }
}

impl Rotator {
    pub(super) fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        on_runtime(async move {
            if self.lease < Duration::from_secs(1) || self.lease > Duration::from_secs(24 * 60 * 60) {
                return Err(Failure::usage("--lease must be from 1s to 24h"));
            }
            metadata::map(self.metadata.clone())?;
            credentials::remove_left_behind(&credentials::place());
            let client = connection.client().await?;
            let stop = listen_for_signals()?;
            self.work(&client, &stop, output).await
        })
    }

    /// Takes one rotation after the other.
    async fn work(&self, client: &Client, stop: &Stop, output: Output) -> Result<(), Failure> {
        // Of the calls, and of the watch: where only the watch fails, no call ends its outage.
        let (outage, of_watch) = (Outage::default(), Outage::default());
        let mut watch = of_watch.told_of(client.secrets().watch(self.interest()).snapshot_again());
        let mut listening = false;
        let mut failed = 0_u32;
        // With --once, the secrets that had their turn; where the rotation was lost, with the reason. Such a rotation is soon due again.
        let mut handled: HashMap<String, Option<String>> = HashMap::new();
        while !stop.asked() {
            // The lease counts from before the request, so that it never ends later than the service's.
            let ends = Instant::now() + self.lease;
            match client.secrets().claim_rotation(self.claim()).await {
                Ok(claimed) => {
                    outage.is_over();
                    let rotation = Rotation::new(client, self, claimed, ends, stop, &outage)?;
                    match handled.get(rotation.id()) {
                        None => {}
                        Some(Some(why)) => {
                            // It counts as one failure, and the service lets it wait as after every other one.
                            rotation.give_back(why).await?;
                            continue;
                        }
                        Some(None) => {
                            // The service gives out the rotation that is due for longest, so all that were due before had their turn.
                            rotation.give_back("").await?;
                            break;
                        }
                    }
                    let (id, what) = (rotation.id().to_owned(), rotation.description());
                    let outcome = rotation.make().await;
                    failed += u32::from(matches!(outcome, Outcome::Failed(_) | Outcome::Lost(_)));
                    if self.once {
                        let lost = if let Outcome::Lost(why) = &outcome { Some(why.clone()) } else { None };
                        handled.insert(id, lost);
                    }
                    print(output, &what, &outcome)?;
                }
                Err(error) if error.reason() == Some(ErrorReason::NoRotationDue) => {
                    outage.is_over();
                    if self.once {
                        break;
                    }
                    wait_for_news(&mut watch, &mut listening, stop).await?;
                }
                Err(error) if passes(&error) && !self.once => {
                    if !of_watch.is_told() {
                        outage.lasts(&error);
                    }
                    let _ = timeout(PAUSE, stop.wait()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        match failed {
            0 => Ok(()),
            _ if !self.once => Ok(()),
            1 => Err(Failure::local("1 rotation failed")),
            failed => Err(Failure::local(format!("{failed} rotations failed"))),
        }
    }

    fn claim(&self) -> v1::ClaimRotationRequest {
        v1::ClaimRotationRequest {
            name_prefix: self.prefix.clone(),
            metadata: self.metadata.iter().cloned().collect(),
            lease: prost_types::Duration::try_from(self.lease).ok(),
            ..v1::ClaimRotationRequest::default()
        }
    }

    fn interest(&self) -> v1::WatchSecretsRequest {
        v1::WatchSecretsRequest {
            name_prefix: self.prefix.clone(),
            metadata: self.metadata.iter().cloned().collect(),
            ..v1::WatchSecretsRequest::default()
        }
    }
}

/// Waits until a rotation becomes due, the worker is asked to end, or it is time to ask again. It is time also when the watch has
/// just begun: a rotation that became due before that is not told.
async fn wait_for_news(watch: &mut Watch, listening: &mut bool, stop: &Stop) -> Result<(), Failure> {
    let until = sleep(ASK_EVERY);
    tokio::pin!(until);
    loop {
        tokio::select! {
            step = watch.next() => match step {
                Ok(Step::Event(event)) if event.r#type() == v1::SecretEventType::RotationDue => return Ok(()),
                Ok(_) if !std::mem::replace(listening, true) => return Ok(()),
                Ok(_) => {}
                Err(error) if passes(&error) || error.reason() == Some(ErrorReason::NotServed) => {
                    // The worker asks without the watch.
                    tokio::select! {
                        () = &mut until => {}
                        () = stop.wait() => {}
                    }
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            },
            () = stop.wait() => return Ok(()),
            () = &mut until => return Ok(()),
        }
    }
}

/// Whether the service may answer later: it is not reached, or has too much to do.
fn passes(error: &Error) -> bool {
    error.is_transient() || error.is_of_the_connection()
}

/// Notes SIGTERM and SIGINT from now on.
fn listen_for_signals() -> Result<Arc<Stop>, Failure> {
    let stop = Arc::new(Stop::default());
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let listen = |error| Failure::local(format!("the signals cannot be listened for: {error}"));
        let mut signals = signal(kind).map_err(listen)?;
        let stop = stop.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if !stop.asked.swap(true, Ordering::SeqCst) {
                    failure::note("the worker ends after the step that runs now");
                }
                stop.notify.notify_waiters();
            }
        });
    }
    Ok(stop)
}

/// Prints how a rotation ended, on one line.
fn print(output: Output, what: &rotation::Description, outcome: &Outcome) -> Result<(), Failure> {
    let (state, version, error) = match outcome {
        Outcome::Rotated { version, finish_error } => ("rotated", Some(*version), finish_error.as_deref()),
        Outcome::Released => ("released", None, None),
        Outcome::Failed(error) | Outcome::Lost(error) => ("failed", None, Some(error.as_str())),
    };
    let line = match output {
        Output::Json => json!({
            "outcome": state,
            "namespace": what.namespace,
            "name": what.name,
            "version": version,
            "error": error,
        })
        .to_string(),
        Output::Table => {
            let version = version.map(|number| format!("  version {number}")).unwrap_or_default();
            let error = error.map(|error| format!("  {error}")).unwrap_or_default();
            output::printable(&format!("{state:<8}  {}/{}{version}{error}", what.namespace, what.name))
        }
    };
    output::write(format!("{line}\n").as_bytes())
}

/// A generator of values that can be staged.
fn value_generator(spec: &str) -> Result<v1::Generator, String> {
    let generator = generator::parse(spec).map_err(|error| error.to_string())?;
    match generator.kind {
        Some(v1::generator::Kind::KeyPair(_)) => {
            Err("a key pair cannot be staged, since its public key takes the place of the current one at once: let the \
                 service rotate it, with 'policy set --generate'"
                .to_owned())
        }
        _ => Ok(generator),
    }
}

/// The generator of the values, unless a command makes them.
fn default_generator() -> v1::Generator {
    let password = v1::PasswordGenerator { length: Some(32), ..v1::PasswordGenerator::default() };
    v1::Generator { kind: Some(v1::generator::Kind::Password(password)) }
}
