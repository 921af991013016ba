//! `strongroom ack` notes that a consumer uses a version.

use serde_json::json;
use strongroom_client::v1;

use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};
use super::version::{consumers, number, state_name, version_json};

/// The arguments of `strongroom ack`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom ack db_password 5
  strongroom ack db_password 5 --consumer billing-2

'versions' shows who has acknowledged which version. With 'policy set --retire-when-unread', the \
former version retires once each of its consumers has moved to a newer one.")]
pub(super) struct Ack {
    /// The secret's name
    name: String,

    /// The number of the version that is now in use
    #[arg(value_name = "N", value_parser = number)]
    version: u32,

    /// The name of the consumer, for consumers that share a credential
    #[arg(long, default_value = "", value_name = "NAME", hide_default_value = true)]
    consumer: String,
}

impl Ack {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let message = v1::AcknowledgeVersionRequest {
            name: self.name.clone(),
            version: self.version,
            consumer: self.consumer,
            ..v1::AcknowledgeVersionRequest::default()
        };
        let reply = connection.client().await?.secrets().acknowledge(message).await?;
        let version = reply.version.ok_or_else(|| Failure::local("the service sent no version"))?;
        let json = json!({ "version": version_json(&version), "revision": reply.revision });
        let fields = [
            ("name", self.name),
            ("version", version.number.to_string()),
            ("state", state_name(version.state())),
            ("acknowledged by", consumers(&version, |consumer| consumer.acknowledged_at.is_some())),
            ("retires", output::time(version.retires_at.as_ref())),
        ];
        output.print(&fields, &json)
    }
}
