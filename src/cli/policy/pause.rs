//! `strongroom policy pause` and `resume` stop the rotations of a secret for a while, and let them go on.

use strongroom_client::v1;

use super::print;
use crate::cli::connect::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// The arguments of `strongroom policy pause` and `strongroom policy resume`.
#[derive(clap::Args)]
pub(in crate::cli) struct Pause {
    /// The secret's name
    name: String,
}

impl Pause {
    /// Pauses the rotations, or lets them go on. The rest of the policy stays as it is.
    pub(super) async fn run(
        self,
        paused: bool,
        connection: &Connection,
        output: Output,
    ) -> Result<(), Failure> {
        let secrets = connection.client().await?.secrets();
        let message = v1::GetSecretRequest {
            name: self.name.clone(),
            view: v1::View::Metadata.into(),
            ..v1::GetSecretRequest::default()
        };
        let present = secrets.get(message).await?.secret.ok_or_else(crate::cli::secret::no_secret)?;
        let Some(policy) = &present.rotation_policy else {
            return Err(Failure::usage(format!(
                "the secret '{}' has no rotation policy: give it one with 'policy set'",
                self.name
            )));
        };
        if policy.paused == paused {
            return print(output, Some(present));
        }
        let message = v1::UpdateSecretRequest {
            name: self.name,
            rotation_policy: Some(v1::RotationPolicy { paused, ..policy.clone() }),
            // Nobody's change of the policy in between is undone.
            etag: present.etag,
            ..v1::UpdateSecretRequest::default()
        };
        print(output, secrets.update(message).await?.secret)
    }
}
