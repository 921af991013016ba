use std::io;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::failure::{Failure, note};
use super::output;
use crate::crypto::{MasterKey as Key, MasterKeyError};

/// What its long help begins with.
pub(super) const ABOUT: &str = "\
Make master keys\n\n\
The master key opens the store and its backups. The first start of a service makes one in its data folder; it needs none of \
these unless the key is to come from elsewhere.";

/// `strongroom master-key`
#[derive(Subcommand)]
pub(super) enum MasterKey {
    /// Make a new master key on this machine; no service is asked
    #[command(after_help = "Examples:
  strongroom master-key generate --out /etc/strongroom/master.key
  strongroom master-key generate | age -r RECIPIENT > master.key.age
  strongroom serve --master-key-command 'age -d -i identity.txt master.key.age'")]
    Generate {
        /// Write it to FILE, for you alone; what is there is never overwritten [default: print it]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

impl MasterKey {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Generate { out } => generate(out.as_deref()),
        }
    }
}

fn generate(out: Option<&Path>) -> Result<(), Failure> {
    let failed = |error: MasterKeyError| Failure::local(error.to_string());
    let key = Key::generate().map_err(|error| failed(error.into()))?;
    let Some(path) = out else {
        return output::write(key.line().unwrap_or_default().as_bytes());
    };
    key.write_new(path).map_err(|error| match error {
        MasterKeyError::File(_, why) if why.kind() == io::ErrorKind::AlreadyExists => {
            Failure::usage(format!(
                "{} is there, and stays as it is: data may need it. Name another file with --out",
                path.display()
            ))
        }
        other => failed(other),
    })?;
    note(&format!("{} opens what is sealed with it: keep a copy elsewhere", path.display()));
    Ok(())
}
