//! `strongroom audit checkpoint` prints the signed checkpoint of the log.

use std::path::PathBuf;

use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output;

/// The arguments of `strongroom audit checkpoint`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom audit checkpoint --out checkpoint.txt
  strongroom audit checkpoint --key            the public key, for 'verify --key'

Keep the checkpoint and the key where the people who can write to the server's files cannot write. The
checkpoint is a signed note in the form of C2SP tlog-checkpoint.")]
pub(in crate::cli) struct Checkpoint {
    /// Write the checkpoint to FILE
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Print the public key that verifies the checkpoint, and not the checkpoint
    #[arg(long)]
    key: bool,
}

impl Checkpoint {
    pub(super) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let reply = connection.client().await?.audit().checkpoint().await?;
        let text = if self.key { format!("{}\n", reply.verifier_key) } else { reply.checkpoint };
        match self.out.filter(|out| out.as_os_str() != "-") {
            None => output::write(text.as_bytes()),
            Some(out) => std::fs::write(&out, text)
                .map_err(|error| Failure::local(format!("{} cannot be written: {error}", out.display()))),
        }
    }
}
