//! The calls about versions and rotations.

use serde_json::json;
use strongroom_client::{Client, SecretVersion};

use crate::secrets::{done, new_value};
use crate::{Arguments, Done, Failed, describe};

pub(crate) async fn perform(client: &Client, args: Arguments<'_>, action: &str) -> Result<Done, Failed> {
    let (name, version) = (args.text("name"), args.number("version").unwrap_or_default());
    match action {
        "rotate" => {
            let mut call = client.rotate(name, new_value(args)?);
            if let Some(grace) = args.seconds("grace_period_seconds") {
                call = call.grace_period(grace);
            }
            if let Some(id) = args.optional("request_id") {
                call = call.request_id(id);
            }
            done(&call.await?)
        }
        "stage" => {
            let staged = client.stage(name, new_value(args)?).await?;
            Ok(Done::new(json!({"version": staged.number}), &staged))
        }
        "promote" => done(&client.promote(name, version).await?),
        "versions" => {
            let versions = client.versions(name).await?;
            let reply: Vec<_> = versions.iter().map(describe::version).collect();
            Ok(Done::new(json!({"versions": reply}), &versions))
        }
        "disable_version" => changed(&client.disable_version(name, version).await?),
        "enable_version" => changed(&client.enable_version(name, version).await?),
        "destroy_version" => {
            let destroyed = client.destroy_version(name, version).await?;
            Ok(Done::new(describe::version(&destroyed.version), &destroyed))
        }
        "acknowledge" => changed(&client.acknowledge(name, version).consumer(args.text("consumer")).await?),
        "claim" => {
            let mut call = client.claim_rotation().name_prefix(args.text("name_prefix"));
            if let Some(lease) = args.seconds("lease_seconds") {
                call = call.lease(lease);
            }
            let claim = call.await?;
            let reply = json!({
                "claim_id": claim.claim_id, "name": claim.secret.name, "pending_version": claim.pending_version,
            });
            Ok(Done::new(reply, &claim))
        }
        "release" => {
            let mut call = client.release_rotation(args.text("claim_id")).failed(args.text("error"));
            if let Some(delay) = args.seconds("retry_after_seconds") {
                call = call.retry_after(delay);
            }
            let secret = call.await?;
            Ok(Done::new(json!({"name": secret.name}), &secret))
        }
        _ => Err(Failed::Unsupported(format!("the action {action} is not known"))),
    }
}

fn changed(version: &SecretVersion) -> Result<Done, Failed> {
    Ok(Done::new(describe::version(version), version))
}
