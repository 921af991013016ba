//! `strongroom audit checkpoint` prints the signed checkpoint of the log.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::file;
use crate::cli::output;

/// The arguments of `strongroom audit checkpoint`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom audit checkpoint --out checkpoint.txt
  strongroom audit checkpoint --key            the public key, for 'verify --key'

Keep the checkpoint and the key where the people who can write to the server's files cannot write. The \
checkpoint is a signed note in the form of C2SP tlog-checkpoint.")]
pub(in crate::cli) struct Checkpoint {
    /// Write the checkpoint to FILE
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Replace an existing file
    #[arg(long, requires = "out")]
    overwrite: bool,

    /// Print the public key that verifies the checkpoint, and not the checkpoint
    #[arg(long)]
    key: bool,
}

impl Checkpoint {
    pub(super) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let reply = connection.client().await?.audit().checkpoint().await?;
        let text = if self.key { format!("{}\n", reply.verifier_key) } else { reply.checkpoint };
        match self.out.filter(|out| !file::is_standard(out)) {
            None => output::write(text.as_bytes()),
            Some(out) => save(&out, &text, self.overwrite),
        }
    }
}

/// Writes a file that everyone may read. An earlier checkpoint is evidence, so it is only replaced if that is asked for.
fn save(path: &Path, text: &str, overwrite: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).truncate(overwrite).create(overwrite).create_new(!overwrite);
    let saved = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    saved.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::usage(format!("{} exists: choose another name, or give --overwrite", path.display()))
        }
        _ => Failure::local(format!("{} cannot be written: {error}", path.display())),
    })
}
