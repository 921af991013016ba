use std::io;
use std::path::PathBuf;

use crate::cli::failure::{Failure, note};
use crate::cli::output;
use crate::crypto::{MasterKey, MasterKeyError};

/// `strongroom master-key generate`
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom master-key generate --out /etc/strongroom/master.key
  strongroom master-key generate | age -r RECIPIENT > master.key.age
  strongroom serve --master-key-command 'age -d -i identity.txt master.key.age'")]
pub(in crate::cli) struct Generate {
    /// Write it to FILE, for you alone; what is there is never overwritten [default: print it]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Generate {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let failed = |error: MasterKeyError| Failure::local(error.to_string());
        let key = MasterKey::generate().map_err(|error| failed(error.into()))?;
        let Some(path) = self.out else {
            return output::write(key.line().unwrap_or_default().as_bytes());
        };
        key.write_new(&path).map_err(|error| match error {
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
}
