//! One rotation, from its claim to its end.
//!
//! The order is: stage the new value, `set`, `test`, make the new version current, `finish`. What fails before the new version
//! is current is undone: `abort`, then the pending version is destroyed, and the claim is released with the error. Once the
//! lease has run out, another worker may have the rotation, so nothing is undone: the next worker does that.

use strongroom_client::{Client, Error, ErrorReason, v1};
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::credentials::Files;
use super::step::{self, Environment, Failed, Name};
use super::{PAUSE, Rotator, Stop, default_generator, passes};
use crate::cli::failure::{self, Failure};
use crate::cli::outage::Outage;

/// A rotation that this worker holds.
pub(super) struct Rotation<'a> {
    client: &'a Client,
    settings: &'a Rotator,
    claim_id: String,
    secret: v1::Secret,
    /// The version that was pending when the rotation was claimed.
    left_pending: Option<u32>,
    /// When the lease runs out.
    ends: Instant,
    stop: &'a Stop,
    outage: &'a Outage,
}

/// Which secret it is.
pub(super) struct Description {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// How a rotation ended.
pub(super) enum Outcome {
    /// The new version is current. Where the step `finish` failed, why.
    Rotated { version: u32, finish_error: Option<String> },
    /// The worker was asked to end, and gave the rotation back.
    Released,
    /// Nothing was rotated, and the service knows of the failure.
    Failed(String),
    /// Nothing was rotated, and the service does not know why: the rotation is due again when its lease has ended.
    Lost(String),
}

/// Why a rotation does not go on.
enum Ended {
    /// The worker is to end.
    Stopped,
    /// Something failed; the rotation is given back.
    Failed(String),
    /// The claim is lost, or may be: nothing more is done.
    Lost(String),
}

type Value = Zeroizing<Vec<u8>>;

impl<'a> Rotation<'a> {
    pub(super) fn new(
        client: &'a Client,
        settings: &'a Rotator,
        claimed: v1::ClaimRotationResponse,
        ends: Instant,
        stop: &'a Stop,
        outage: &'a Outage,
    ) -> Result<Self, Failure> {
        let secret = claimed.secret.ok_or_else(crate::cli::secret::no_secret)?;
        Ok(Self {
            client,
            settings,
            claim_id: claimed.claim_id,
            secret,
            left_pending: claimed.pending_version,
            ends,
            stop,
            outage,
        })
    }

    /// The id of the secret.
    pub(super) fn id(&self) -> &str {
        &self.secret.id
    }

    /// Gives the rotation back without making it: it has failed for this reason; without a reason, it is due as before.
    pub(super) async fn give_back(&self, why: &str) -> Result<(), Failure> {
        Ok(self.release(why).await?)
    }

    pub(super) fn description(&self) -> Description {
        Description { namespace: self.secret.namespace.clone(), name: self.secret.name.clone() }
    }

    /// Makes the rotation.
    pub(super) async fn make(&self) -> Outcome {
        match self.try_to_make().await {
            Ok(outcome) => outcome,
            Err(Ended::Stopped) => match self.release("").await {
                Ok(()) => Outcome::Released,
                Err(error) => Outcome::Lost(format!("the rotation cannot be given back: {error}")),
            },
            Err(Ended::Failed(why)) => match self.release(&why).await {
                Ok(()) => Outcome::Failed(why),
                Err(error) => {
                    failure::note(&format!(
                        "the rotation cannot be given back, and is due after its lease: {error}"
                    ));
                    Outcome::Lost(why)
                }
            },
            Err(Ended::Lost(why)) => Outcome::Lost(why),
        }
    }

    async fn try_to_make(&self) -> Result<Outcome, Ended> {
        let old = self.old_value().await?;
        if let Some(version) = self.left_pending {
            failure::note(&format!(
                "version {version} of '{}' was left pending: it is being undone and destroyed",
                self.secret.name
            ));
            self.take_back(version, None, old.as_ref()).await?;
        }
        let (version, new) = self.stage(old.as_ref()).await?;
        for name in [Name::Set, Name::Test] {
            let outcome = self.step(name, version, Some(&new), old.as_ref()).await;
            if let Err(error) = outcome.and_then(|()| self.go_on()) {
                return Err(self.after(error, version, &new, old.as_ref()).await);
            }
        }
        if let Err(error) = self.promote(version).await {
            return Err(self.after(error, version, &new, old.as_ref()).await);
        }
        let finished = self.step(Name::Finish, version, Some(&new), old.as_ref()).await;
        let finish_error = match finished {
            Ok(()) | Err(Ended::Stopped) => None,
            Err(Ended::Failed(why) | Ended::Lost(why)) => {
                failure::note(&format!("version {version} of '{}' is current, but {why}", self.secret.name));
                Some(why)
            }
        };
        Ok(Outcome::Rotated { version, finish_error })
    }

    fn go_on(&self) -> Result<(), Ended> {
        if self.stop.asked() { Err(Ended::Stopped) } else { Ok(()) }
    }

    /// Takes back what was done for a version, where that is this worker's task; returns how the rotation ends.
    async fn after(&self, ended: Ended, version: u32, new: &Value, old: Option<&Value>) -> Ended {
        if let Ended::Lost(_) = ended {
            return ended;
        }
        match (self.take_back(version, Some(new), old).await, ended) {
            (Ok(()), ended) => ended,
            (Err(Ended::Failed(also)), Ended::Failed(why)) => Ended::Failed(format!("{why}; and {also}")),
            (Err(Ended::Failed(also)), Ended::Stopped) => Ended::Failed(also),
            (Err(worse), _) => worse,
        }
    }

    /// Runs `abort`, and destroys the pending version.
    async fn take_back(&self, version: u32, new: Option<&Value>, old: Option<&Value>) -> Result<(), Ended> {
        self.step(Name::Abort, version, new, old).await?;
        let message = v1::DestroyVersionRequest {
            namespace: self.secret.namespace.clone(),
            name: self.secret.name.clone(),
            version,
            ..v1::DestroyVersionRequest::default()
        };
        match self.client.secrets().destroy_version(message).await {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(Ended::Failed(format!("the pending version {version} cannot be destroyed: {error}")))
            }
        }
    }

    /// The value that is current now; `None` if it cannot be read.
    async fn old_value(&self) -> Result<Option<Value>, Ended> {
        let message = v1::GetSecretRequest {
            namespace: self.secret.namespace.clone(),
            name: self.secret.name.clone(),
            version: Some(self.secret.version),
            ..v1::GetSecretRequest::default()
        };
        match self.client.secrets().get(message).await {
            Ok(reply) => Ok(value_of(reply.secret)),
            Err(error) => match error.reason() {
                Some(
                    ErrorReason::AccessDenied | ErrorReason::VersionDisabled | ErrorReason::VersionDestroyed,
                ) => Ok(None),
                _ => Err(Ended::Failed(format!("the present value cannot be read: {error}"))),
            },
        }
    }

    /// Stages a new value; returns its version, and the value.
    async fn stage(&self, old: Option<&Value>) -> Result<(u32, Value), Ended> {
        let created = match &self.settings.create {
            Some(command) => Some(self.create(command, old).await?),
            None => None,
        };
        let generator = || self.settings.generate.clone().unwrap_or_else(default_generator);
        let message = v1::RotateSecretRequest {
            namespace: self.secret.namespace.clone(),
            name: self.secret.name.clone(),
            value: created.as_ref().map(|value| match std::str::from_utf8(value) {
                Ok(text) => text.into(),
                Err(_) => value.to_vec().into(),
            }),
            generate: created.is_none().then(generator),
            return_value: created.is_none(),
            stage: true,
            claim_id: self.claim_id.clone(),
            ..v1::RotateSecretRequest::default()
        };
        let reply = self.client.secrets().rotate(message).await.map_err(|error| self.refused(&error))?;
        let version = reply.version;
        match created.or_else(|| value_of(reply.secret)) {
            Some(value) => Ok((version, value)),
            // The reply to a repeat has no value: the first reply was lost on the way.
            None => {
                let why =
                    format!("the reply with the new value was lost, so version {version} cannot be used");
                self.take_back(version, None, old).await?;
                Err(Ended::Failed(why))
            }
        }
    }

    /// The value that the command of `--create` prints.
    async fn create(&self, command: &str, old: Option<&Value>) -> Result<Value, Ended> {
        let (files, environment) = self.prepared(Name::Create, 0, None, old)?;
        let printed = step::printed(command, &environment, self.ends).await;
        drop(files);
        printed.map_err(|failed| self.failed(Name::Create, failed))
    }

    /// Runs the command for one step.
    async fn step(
        &self,
        name: Name,
        version: u32,
        new: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Ended> {
        let (files, environment) = self.prepared(name, version, new, old)?;
        let outcome = step::run(&self.settings.exec, &environment, self.ends).await;
        drop(files);
        outcome.map_err(|failed| self.failed(name, failed))
    }

    fn prepared(
        &self,
        name: Name,
        version: u32,
        new: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(Files, Environment), Ended> {
        let written = Files::write(new.map(|value| value.as_slice()), old.map(|value| value.as_slice()));
        let files = written
            .map_err(|error| Ended::Failed(format!("the files of the values cannot be written: {error}")))?;
        let environment = Environment {
            step: name,
            namespace: self.secret.namespace.clone(),
            secret: self.secret.name.clone(),
            version,
            new_value: files.new.clone(),
            old_value: files.old.clone(),
            keep_credentials: self.settings.keep_credentials,
        };
        Ok((files, environment))
    }

    fn failed(&self, name: Name, failed: Failed) -> Ended {
        match failed {
            Failed::LeaseOver => Ended::Lost(format!(
                "the lease ended while the step '{}' ran, so the step was killed: give --lease more time. The next \
                 worker undoes what was done",
                name.as_str()
            )),
            Failed::Ended(how) => Ended::Failed(format!("the step '{}' {how}", name.as_str())),
        }
    }

    /// Makes the version current. Where the answer is lost, the request is repeated with the same id until the lease ends, since
    /// the version may be current already.
    async fn promote(&self, version: u32) -> Result<(), Ended> {
        let mut message = v1::PromoteVersionRequest {
            namespace: self.secret.namespace.clone(),
            name: self.secret.name.clone(),
            version,
            claim_id: self.claim_id.clone(),
            ..v1::PromoteVersionRequest::default()
        };
        loop {
            let error = match self.client.secrets().promote(message.clone()).await {
                Ok(_) => {
                    self.outage.is_over();
                    return Ok(());
                }
                Err(error) => error,
            };
            if !passes(&error) {
                return Err(self.refused(&error));
            }
            if Instant::now() + PAUSE >= self.ends {
                return Err(Ended::Lost(format!(
                    "it is not known whether version {version} is current, and the lease ends: {error}"
                )));
            }
            self.outage.lasts(&error);
            message.request_id = error.sent_request_id().unwrap_or_default().to_owned();
            sleep(PAUSE).await;
        }
    }

    async fn release(&self, error: &str) -> Result<(), Error> {
        const LONGEST: usize = 1_024;
        let mut error = error.to_owned();
        while error.len() > LONGEST {
            error.pop();
        }
        let claim_id = self.claim_id.clone();
        let message = v1::ReleaseRotationRequest { claim_id, error, ..v1::ReleaseRotationRequest::default() };
        self.client.secrets().release_rotation(message).await.map(|_| ())
    }

    fn refused(&self, error: &Error) -> Ended {
        match error.reason() {
            Some(ErrorReason::ClaimLost) => Ended::Lost(format!(
                "the claim was lost: its lease has ended, or the rotation was made in another way. {error}"
            )),
            _ => Ended::Failed(error.to_string()),
        }
    }
}

/// The value of a reply; `None` if the reply has none.
fn value_of(secret: Option<v1::Secret>) -> Option<Value> {
    match secret?.value?.kind.take()? {
        v1::secret_value::Kind::Text(text) => Some(Zeroizing::new(text.into_bytes())),
        v1::secret_value::Kind::Binary(bytes) => Some(Zeroizing::new(bytes)),
        v1::secret_value::Kind::Redacted(_) => None,
    }
}
