//! `strongroom status` shows the state of the service.

use data_encoding::BASE64;
use serde_json::{Value as Json, json};
use strongroom_client::{Code, v1};

use super::connect::Connection;
use super::failure::Failure;
use super::output::{self, Output};

/// The end of the help.
pub(super) const EXAMPLES: &str = "\
Example:
  strongroom status

Without an API key that has the right 'operate', only whether the service serves requests is shown.
The exit code is 69 if it does not.";

/// The row of a limit of which a tenth is used, or at which something was refused.
fn in_use(limit: &v1::LimitUse) -> Option<(&str, String)> {
    let shown = limit.used >= limit.limit.div_ceil(10).max(1) || limit.refused > 0;
    let text = || format!("{} of {} used, {} refused", limit.used, limit.limit, limit.refused);
    shown.then(|| (limit.name.as_str(), text()))
}

/// A limit in the JSON output.
fn limit(limit: &v1::LimitUse) -> Json {
    json!({ "name": limit.name, "limit": limit.limit, "used": limit.used, "refused": limit.refused })
}

/// Runs `strongroom status`.
pub(super) async fn run(connection: &Connection, output: Output) -> Result<(), Failure> {
    let client = connection.client().await?;
    let serving = client.is_serving().await?;
    let mut fields = vec![("serving", if serving { "yes" } else { "no" }.to_owned())];
    let mut json = json!({ "serving": serving });

    let reply = match client.operator().status().await {
        Ok(reply) => Some(reply),
        // Everybody may know whether the service serves; the rest needs a right.
        Err(refused) if matches!(refused.code(), Code::Unauthenticated | Code::PermissionDenied) => None,
        Err(refused) => return Err(refused.into()),
    };
    if let Some(reply) = &reply {
        let started = output::time(reply.started_at.as_ref());
        fields.extend([
            ("version", reply.server_version.clone()),
            ("store", reply.store.clone()),
            ("revision", reply.revision.to_string()),
            ("started", started.clone()),
            ("namespaces", reply.namespaces.to_string()),
            ("secrets", reply.secrets.to_string()),
            ("deleted secrets", reply.deleted_secrets.to_string()),
            ("next due", output::time(reply.next_due_at.as_ref())),
            ("damaged", reply.damaged_records.to_string()),
            ("signing key", BASE64.encode(&reply.signing_public_key)),
        ]);
        let audit = reply.audit_log.clone().unwrap_or_default();
        fields.extend([
            ("audit log", audit.origin.clone()),
            ("audit records", audit.size.to_string()),
            ("audit failure", audit.failure.clone()),
            ("audit breach", audit.breach.clone()),
        ]);
        fields.extend(reply.limits.iter().filter_map(in_use));
        json = json!({
            "serving": serving,
            "server_version": reply.server_version,
            "store": reply.store,
            "revision": reply.revision,
            "started_at": started,
            "namespaces": reply.namespaces,
            "secrets": reply.secrets,
            "deleted_secrets": reply.deleted_secrets,
            "next_due_at": reply.next_due_at.as_ref().map(|at| output::time(Some(at))),
            "damaged_records": reply.damaged_records,
            "signing_public_key": BASE64.encode(&reply.signing_public_key),
            "audit_log": {
                "origin": audit.origin,
                "size": audit.size,
                "failure": audit.failure,
                "breach": audit.breach,
            },
            "limits": reply.limits.iter().map(limit).collect::<Vec<_>>(),
        });
    }
    output.print(&fields, &json)?;
    if serving {
        Ok(())
    } else {
        Err(Failure::unreachable("the service does not serve requests now: its log says why"))
    }
}
