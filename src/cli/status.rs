use data_encoding::BASE64;
use serde_json::json;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::connect::Connection;
use super::failure::Failure;
use super::key::{key_fields, key_json};
use super::output::{self, Output};
use crate::api::v1;

/// `strongroom whoami`
pub(super) async fn whoami(connection: &Connection, output: Output) -> Result<(), Failure> {
    let reply = connection.access().await?.who_am_i(v1::WhoAmIRequest {}).await?.into_inner();
    let rights: Vec<_> = reply.rights().map(|right| right_name(right).to_owned()).collect();
    let key = reply.api_key.clone().unwrap_or_default();
    let mut fields = vec![("principal", reply.principal.clone()), ("rights", rights.join(" "))];
    fields.extend(key_fields(&key));
    let json = json!({ "principal": reply.principal, "rights": rights, "api_key": key_json(&key) });
    output.print(&fields, &json)
}

/// `strongroom status`: what anyone may see, and the rest where the key allows it.
pub(super) async fn status(connection: &Connection, output: Output) -> Result<(), Failure> {
    let mut health = HealthClient::new(connection.channel().await?);
    let health = health.check(HealthCheckRequest::default()).await?.into_inner();
    let serving = health.status() == ServingStatus::Serving;
    let mut fields = vec![("serving", if serving { "yes" } else { "no" }.to_owned())];
    let mut json = json!({ "serving": serving });

    match connection.operator().await?.get_status(v1::GetStatusRequest {}).await {
        Ok(reply) => {
            let reply = reply.into_inner();
            let started = output::time(reply.started_at.as_ref());
            fields.extend([
                ("version", reply.server_version.clone()),
                ("store", reply.store.clone()),
                ("revision", reply.revision.to_string()),
                ("started", started.clone()),
                ("namespaces", reply.namespaces.to_string()),
                ("secrets", reply.secrets.to_string()),
                ("damaged", reply.damaged_records.to_string()),
                ("signing key", BASE64.encode(&reply.signing_public_key)),
            ]);
            json = json!({
                "serving": serving,
                "server_version": reply.server_version,
                "store": reply.store,
                "revision": reply.revision,
                "started_at": started,
                "namespaces": reply.namespaces,
                "secrets": reply.secrets,
                "damaged_records": reply.damaged_records,
                "signing_public_key": BASE64.encode(&reply.signing_public_key),
            });
        }
        // Without the right to see more, whether it serves is the answer.
        Err(refused) if matches!(refused.code(), Code::Unauthenticated | Code::PermissionDenied) => {}
        Err(refused) => return Err(refused.into()),
    }
    output.print(&fields, &json)?;
    if serving {
        Ok(())
    } else {
        Err(Failure::unreachable("the service does not serve now: its log says why"))
    }
}

fn right_name(right: v1::Right) -> String {
    let name = right.as_str_name();
    name.strip_prefix("RIGHT_").unwrap_or(name).to_ascii_lowercase()
}
