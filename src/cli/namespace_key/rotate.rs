//! `strongroom namespace-key rotate` replaces the keys of namespaces by new ones.

use serde_json::{Value as Json, json};
use strongroom_client::v1::{self, RotationPhase};

use super::KEPT;
use crate::cli::connect::Connection;
use crate::cli::failure::{Failure, note};
use crate::cli::output::Output;
use crate::cli::progress::Progress;

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Replace the key of a namespace by a new one while the service runs\n\n\
The service seals everything that the old key sealed with the new key, and then forgets the old key. Each value stays as it \
is: a key of its own seals it, and only that key is sealed again. Etags and revisions do not change.\n\n\
The work continues in the service if this command is interrupted, and after a crash.";

/// The arguments of `strongroom namespace-key rotate`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom namespace-key rotate team-a
  strongroom namespace-key rotate --all")]
pub(in crate::cli) struct Rotate {
    /// The namespace [default: that of --namespace]
    #[arg(value_name = "NAMESPACE", conflicts_with = "all")]
    of: Option<String>,

    /// Rotate the keys of all namespaces, one after the other
    #[arg(long)]
    all: bool,
}

impl Rotate {
    pub(in crate::cli) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let Self { of, all } = self;
        let namespace = match of {
            Some(namespace) => namespace,
            None if all => String::new(),
            None => connection.settings()?.namespace().to_owned(),
        };
        if namespace.is_empty() && !all {
            return Err(Failure::usage("name the namespace whose key to rotate, or give --all"));
        }
        let request = v1::RotateNamespaceKeysRequest { namespace, all_namespaces: all };
        let mut replies = connection.client().await?.operator().rotate_namespace_keys(request).await?;
        let mut progress = Progress::new("records sealed again", 0);
        let mut rotated = Vec::new();
        while let Some(reply) = replies.next().await? {
            progress.set("records sealed again", reply.seen_records, reply.total_records);
            if reply.phase() == RotationPhase::Done {
                rotated.push(reply);
            }
        }
        drop(progress);
        report(&rotated, output)
    }
}

fn report(rotated: &[v1::RotateNamespaceKeysResponse], output: Output) -> Result<(), Failure> {
    let header = ["namespace", "generation", "records", "damaged"];
    let row = |of: &v1::RotateNamespaceKeysResponse| {
        vec![
            of.namespace.clone(),
            of.generation.to_string(),
            of.seen_records.to_string(),
            of.damaged_records.to_string(),
        ]
    };
    let items: Vec<_> = rotated.iter().map(as_json).collect();
    output.print_all(&header, rotated.iter().map(row).collect(), &json!({ "items": items }))?;
    if rotated.iter().any(|of| of.damaged_records > 0) {
        note(KEPT);
    }
    Ok(())
}

fn as_json(of: &v1::RotateNamespaceKeysResponse) -> Json {
    json!({
        "namespace": of.namespace,
        "generation": of.generation,
        "seen_records": of.seen_records,
        "damaged_records": of.damaged_records,
    })
}
