use std::io;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::connect::Connection;
use super::failure::{Failure, note};
use super::namespace_key::KEPT;
use super::output::{self, Output};
use super::progress::Progress;
use crate::api::v1::{self, RotationPhase};
use crate::crypto::{MasterKey as Key, MasterKeyError};

/// What its long help begins with.
pub(super) const ABOUT: &str = "\
Make, rotate and look at master keys\n\n\
The master key opens the store and its backups. The first start of a service makes one in its data folder; 'generate' is for \
a key that is to come from elsewhere.";

const ROTATE: &str = "\
Put a new master key into use, while the service goes on\n\n\
Where the service can write to the file of its master key, it puts a new key on the first line, in front of those that are \
there. Where it can not (a command, a passphrase, a systemd credential, a read-only file), it says so: put the new key there \
first, on the first line, keep the old one on the line behind it, and rotate again.\n\n\
The service then seals anew what the old key opened: API keys, receipts, and the keys of namespaces. No value is touched. It \
goes on in the service when this command is interrupted, and is taken up after a crash.\n\n\
Afterwards the old key opens nothing but the backups that were made with it. Keep a copy of the new file elsewhere, and give \
it to every other replica.";

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
    /// Put a new master key into use, while the service goes on
    #[command(long_about = ROTATE)]
    Rotate,
    /// Show which master key is in use, and how far its rotation is
    Status,
}

impl MasterKey {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        match self {
            Self::Generate { out } => generate(out.as_deref()),
            Self::Rotate => rotate(connection, output).await,
            Self::Status => status(connection, output).await,
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

async fn rotate(connection: &Connection, output: Output) -> Result<(), Failure> {
    let mut operator = connection.operator().await?;
    let mut replies = operator.rotate_master_key(v1::RotateMasterKeyRequest {}).await?.into_inner();
    let mut progress = Progress::new("records sealed anew", 0);
    let mut last = v1::RotateMasterKeyResponse::default();
    while let Some(reply) = replies.message().await? {
        progress.set("records sealed anew", reply.seen_records, reply.total_records);
        last = reply;
    }
    drop(progress);
    if last.phase() != RotationPhase::Done {
        return Err(Failure::unreachable(
            "the service did not say that the master key was rotated: `strongroom master-key status` shows how far it is",
        ));
    }
    let fields = [
        ("master key", last.master_key_id.clone()),
        ("from", last.source.clone()),
        ("generation", last.generation.to_string()),
        ("records", last.seen_records.to_string()),
        ("damaged", last.damaged_records.to_string()),
    ];
    let json = json!({
        "master_key_id": last.master_key_id,
        "source": last.source,
        "generation": last.generation,
        "seen_records": last.seen_records,
        "damaged_records": last.damaged_records,
    });
    output.print(&fields, &json)?;
    if last.damaged_records > 0 {
        note(KEPT);
    } else {
        note(&format!(
            "{} has a new first line: keep a copy of it elsewhere, and give it to every other replica. The old key behind \
             it opens the backups that were made with it: keep it as long as you keep those",
            last.source
        ));
    }
    Ok(())
}

async fn status(connection: &Connection, output: Output) -> Result<(), Failure> {
    let request = v1::GetMasterKeyStatusRequest {};
    let keys = connection.operator().await?.get_master_key_status(request).await?.into_inner();
    let generations: Vec<_> = keys.generations.iter().map(u32::to_string).collect();
    let fields = [
        ("master key", keys.master_key_id.clone()),
        ("from", keys.source.clone()),
        ("opened by", keys.opened_by.join(" ")),
        ("generations", generations.join(" ")),
        ("seals", format!("{} of {}", keys.seals, keys.seals_limit)),
        ("namespaces", keys.namespaces.to_string()),
        ("rotating", keys.rotating_namespaces.join(" ")),
    ];
    let json = json!({
        "master_key_id": keys.master_key_id,
        "source": keys.source,
        "opened_by": keys.opened_by,
        "generations": keys.generations,
        "seals": keys.seals,
        "seals_limit": keys.seals_limit,
        "namespaces": keys.namespaces,
        "rotating_namespaces": keys.rotating_namespaces,
    });
    output.print(&fields, &json)
}
