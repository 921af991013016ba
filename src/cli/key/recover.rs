//! `strongroom key recover` makes an administrator's API key without the service, for somebody who has lost all of them.

use strongroom_client::v1;

use super::destination::Destination;
use crate::auth::KeyName;
use crate::cli::failure::{Failure, note};
use crate::cli::on_runtime;
use crate::cli::opening::Opening;
use crate::cli::output::Output;
use crate::config::{Config, LogLevel, Settings};
use crate::{process, server, telemetry};

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Make an API key with every right, without the service\n\n\
For the case that all keys of administrators are lost. The command needs the data folder and the master key, as 'strongroom \
serve' does, and no API key. Stop the service first. If the store is etcd, other replicas may run on: stop this one, or give another \
--data-dir and the master key. The audit record goes to the audit log and to standard error, as those of the service do.";

/// The arguments of `strongroom key recover`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  systemctl stop strongroom
  strongroom key recover --data-dir /var/lib/strongroom --out admin.key
  systemctl start strongroom")]
pub(in crate::cli) struct Recover {
    /// A name for the key, for people
    #[arg(long, default_value = "recovered")]
    name: String,

    #[command(flatten)]
    destination: Destination,

    #[command(flatten)]
    opening: Opening,
}

impl Recover {
    pub(in crate::cli) fn run(self, output: Output) -> Result<(), Failure> {
        let usage = |error: crate::config::ConfigError| Failure::usage(error.to_string());
        let name = KeyName::parse(&self.name).map_err(|error| Failure::usage(format!("--name {error}")))?;
        let file = self.opening.config_file().map_err(usage)?;
        let settings = self.opening.settings().or(Settings::from_environment()).or(file);
        let config = Config::try_from(settings).map_err(usage)?;
        telemetry::start(config.log_format, LogLevel::Warn, config.audit.stderr)
            .map_err(|error| Failure::local(format!("the log cannot start: {error}")))?;
        // This must happen before a key is in memory.
        process::guard_memory();

        let destination = self.destination.prepare()?;
        let recovered = on_runtime(async {
            let recovered = server::recover(&config, name).await;
            telemetry::flush().await;
            recovered.map_err(|error| Failure::local(error.to_string()))
        })?;
        let micros = recovered.created_at.as_micros();
        let key = v1::ApiKey {
            id: recovered.id,
            name: recovered.name,
            home_namespace: recovered.home_namespace,
            created_at: Some(prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos: 0 }),
            ..v1::ApiKey::default()
        };
        destination.deliver(output, &key, &[], &recovered.credential)?;
        note(
            "the key has every right. Start the service, use the key to revoke the lost keys ('strongroom key list') and to make \
             the keys that you need, and then revoke it too if it was only for this",
        );
        Ok(())
    }
}
