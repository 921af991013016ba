//! `strongroom audit verify` verifies a log from its files alone.

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde_json::json;

use crate::cli::credential_text::hidden;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::integrity::audit_log::{Expected, VerifierKey, VerifyError, verify};

/// The arguments of `strongroom audit verify`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom audit verify --data-dir /var/lib/strongroom
  strongroom audit verify --data-dir copy --checkpoint checkpoint.txt --key \"$(cat audit.key)\"

The command needs no server and no API key, and works on a copy of the folder audit/ too. Without --key it \
takes the key in the folder, which somebody who can write there could have exchanged.

It exits with 0 if the signed records are as they were written, and says how many others there are. Otherwise \
it names the first file and line that is not, and exits with 1. It also exits with 1 if the checkpoint is missing, \
because then nothing vouches for the records.")]
pub(in crate::cli) struct Verify {
    /// The data folder of the server, or a copy of its folder audit/
    #[arg(long, value_name = "DIR", default_value = "strongroom-data")]
    data_dir: PathBuf,

    /// Compare the log with an older checkpoint: nothing before it may have changed
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,

    /// The public key that must have signed the checkpoints [default: log.pub in the folder]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl Verify {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let key = self.key.as_deref().map(str::trim).map(VerifierKey::parse);
        if key == Some(None) {
            return Err(Failure::usage(
                "--key is not the public key of an audit log: 'audit checkpoint --key' prints it",
            ));
        }
        let checkpoint = self.checkpoint.as_deref().map(read).transpose()?;
        let compared = checkpoint.is_some();
        let within = self.data_dir.join("audit");
        let folder = if within.is_dir() { within } else { self.data_dir };
        let expected = Expected { key: key.flatten(), checkpoint, head: None };
        let verified = match verify(&folder, &expected) {
            Ok(verified) => verified,
            Err(error) => return refuse(&error, output),
        };

        let root = BASE64.encode(&verified.head.root);
        let compared = if compared { "nothing before the given checkpoint was changed" } else { "" };
        let unfinished =
            if verified.unfinished { "the last line is not complete, and does not count" } else { "" };
        let (said, unsigned) = match verified.head.size.saturating_sub(verified.signed) {
            0 => ("the log is as it was written", String::new()),
            records => (
                "the signed records are as they were written",
                format!("{records}: no checkpoint vouches for them yet"),
            ),
        };
        let fields = [
            ("verified", said.to_owned()),
            ("log", verified.origin.clone()),
            ("records", verified.head.size.to_string()),
            ("signed", verified.signed.to_string()),
            ("not signed", unsigned),
            ("first kept", verified.first.to_string()),
            ("files", verified.files.to_string()),
            ("root", root.clone()),
            ("checkpoint", compared.to_owned()),
            ("note", unfinished.to_owned()),
        ];
        let json = json!({
            "verified": true,
            "log": verified.origin,
            "records": verified.head.size,
            "signed_records": verified.signed,
            "first_record": verified.first,
            "files": verified.files,
            "root": root,
        });
        output.print(&fields, &json)
    }
}

/// The failure, and for programs also what `verified` is otherwise.
fn refuse(error: &VerifyError, output: Output) -> Result<(), Failure> {
    let problem = error.to_string();
    match output {
        Output::Json => output.print(&[], &json!({ "verified": false, "problem": hidden(&problem) }))?,
        Output::Table => {}
    }
    Err(Failure::local(problem))
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed =
        |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", path.display()));
    if path == Path::new("-") {
        return std::io::read_to_string(std::io::stdin().lock()).map_err(failed);
    }
    std::fs::read_to_string(path).map_err(failed)
}
