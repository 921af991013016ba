use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::connect::Connection;
use super::failure::{Failure, note};
use super::output::Output;
use super::progress::Progress;
use crate::api::v1::{self, RotationPhase};

/// What its long help begins with.
pub(super) const ABOUT: &str = "\
Rotate the keys of namespaces\n\n\
Each namespace has a key of its own, which the service keeps under the master key. It seals names, descriptions and metadata, \
and the key of each value. Rotate it where somebody may have had it, or as often as your rules ask for it; the service does so \
by itself after 2^30 seals.";

const ROTATE: &str = "\
Put a new key of a namespace into use, while the service goes on\n\n\
Everything that the old key sealed is sealed anew, and the old key is let go. Values stay sealed as they are, each by a key of \
its own, which is what is sealed anew; nobody sees another etag or revision.\n\n\
It goes on in the service when this command is interrupted, and is taken up after a crash.";

/// `strongroom namespace-key`
#[derive(Subcommand)]
pub(super) enum NamespaceKey {
    /// Put a new key of a namespace into use, while the service goes on
    #[command(long_about = ROTATE, after_help = "Examples:
  strongroom namespace-key rotate team-a
  strongroom namespace-key rotate --all")]
    Rotate {
        /// The namespace [default: that of --namespace]
        #[arg(value_name = "NAMESPACE", conflicts_with = "all")]
        of: Option<String>,
        /// Every namespace, one after the other
        #[arg(long)]
        all: bool,
    },
}

impl NamespaceKey {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let Self::Rotate { of, all } = self;
        let namespace = match of {
            Some(namespace) => namespace,
            None if all => String::new(),
            None => connection.namespace(),
        };
        if namespace.is_empty() && !all {
            return Err(Failure::usage("name the namespace whose key is to be rotated, or say --all"));
        }
        let request = v1::RotateNamespaceKeysRequest { namespace, all_namespaces: all };
        let mut replies = connection.operator().await?.rotate_namespace_keys(request).await?.into_inner();
        let mut progress = Progress::new("records sealed anew", 0);
        let mut rotated = Vec::new();
        while let Some(reply) = replies.message().await? {
            progress.set("records sealed anew", reply.seen_records, reply.total_records);
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

/// What damaged records mean for a rotation.
pub(super) const KEPT: &str = "records that can not be opened could not be sealed anew, so the earlier key stays in use for \
                               them: restore them from a backup and rotate again, or delete their secrets";

fn as_json(of: &v1::RotateNamespaceKeysResponse) -> Json {
    json!({
        "namespace": of.namespace,
        "generation": of.generation,
        "seen_records": of.seen_records,
        "damaged_records": of.damaged_records,
    })
}
