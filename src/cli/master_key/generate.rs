//! `strongroom master-key generate` generates a master key on this machine.

use std::io;
use std::path::PathBuf;

use crate::cli::failure::{Failure, note};
use crate::cli::{file, output};
use crate::crypto::{MasterKey, MasterKeyError};

/// The arguments of `strongroom master-key generate`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom master-key generate --out /etc/strongroom/master.key
  strongroom master-key generate | age -r RECIPIENT > master.key.age
  strongroom serve --master-key-command 'age -d -i identity.txt master.key.age'")]
pub(in crate::cli) struct Generate {
    /// Write the key to FILE, which only you can read; an existing file is never overwritten; - prints the key [default: -]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Generate {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let failed = |error: MasterKeyError| Failure::local(error.to_string());
        let key = MasterKey::generate().map_err(|error| failed(error.into()))?;
        let Some(path) = self.out.filter(|out| !file::is_standard(out)) else {
            return output::write(key.line().unwrap_or_default().as_bytes());
        };
        key.write_new(&path).map_err(|error| match error {
            MasterKeyError::File(_, why) if why.kind() == io::ErrorKind::AlreadyExists => {
                Failure::usage(format!(
                    "{} exists and was not changed, because data may need its key: name another file with --out",
                    path.display()
                ))
            }
            other => failed(other),
        })?;
        note(&format!(
            "data that is sealed with {} cannot be opened without it: keep a copy elsewhere",
            path.display()
        ));
        Ok(())
    }
}
