//! OperatorService: the state of the service, backups, and the rotation of keys.

mod backup;
mod keys;
mod replies;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use self::backup::{create_backup, restore_backup};
use self::keys::{key_status, rotate_master_key, rotate_namespace_keys};
use self::replies::Replies;
pub(super) use self::replies::{ConfirmedReplies, begun, spawn_of_call};
use super::convert::timestamp;
use super::proto as v1;
use super::proto::operator_service_server::OperatorService;
use crate::api::request::Call;
use crate::app::{App, Error, Unready};
use crate::auth::Operate;
use crate::integrity::audit_log::LogState;
use crate::limits::{LimitUse, QuotaUse};

/// OperatorService over the app.
pub(super) struct Operator(pub(super) Arc<App>);

#[tonic::async_trait]
impl OperatorService for Operator {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let (call, v1::GetStatusRequest {}) = Call::open(&self.0, request).await?;
        call.close(describe(&self.0, &call).await)
    }

    type CreateBackupStream = ConfirmedReplies<v1::CreateBackupResponse>;

    async fn create_backup(
        &self,
        request: Request<v1::CreateBackupRequest>,
    ) -> Result<Response<Self::CreateBackupStream>, Status> {
        let (call, v1::CreateBackupRequest {}) = Call::open(&self.0, request).await?;
        let granted = call.service_grant::<Operate>(&self.0);
        call.close(
            granted.map(|grant| create_backup(call.clone(), self.0.clone(), self.0.backup.create(&grant))),
        )
    }

    type RestoreBackupStream = Replies<v1::RestoreBackupResponse>;

    async fn restore_backup(
        &self,
        request: Request<Streaming<v1::RestoreBackupRequest>>,
    ) -> Result<Response<Self::RestoreBackupStream>, Status> {
        let (call, chunks) = Call::open(&self.0, request).await?;
        let granted = call.service_grant::<Operate>(&self.0);
        call.close(granted.map(|grant| restore_backup(call.clone(), self.0.clone(), grant, chunks)))
    }

    type RotateMasterKeyStream = ConfirmedReplies<v1::RotateMasterKeyResponse>;

    async fn rotate_master_key(
        &self,
        request: Request<v1::RotateMasterKeyRequest>,
    ) -> Result<Response<Self::RotateMasterKeyStream>, Status> {
        let (call, v1::RotateMasterKeyRequest {}) = Call::open(&self.0, request).await?;
        call.close(rotate_master_key(&self.0, &call))
    }

    async fn get_master_key_status(
        &self,
        request: Request<v1::GetMasterKeyStatusRequest>,
    ) -> Result<Response<v1::GetMasterKeyStatusResponse>, Status> {
        let (call, v1::GetMasterKeyStatusRequest {}) = Call::open(&self.0, request).await?;
        call.close(key_status(&self.0, &call))
    }

    type RotateNamespaceKeysStream = ConfirmedReplies<v1::RotateNamespaceKeysResponse>;

    async fn rotate_namespace_keys(
        &self,
        request: Request<v1::RotateNamespaceKeysRequest>,
    ) -> Result<Response<Self::RotateNamespaceKeysStream>, Status> {
        let (call, message) = Call::open(&self.0, request).await?;
        call.close(rotate_namespace_keys(&self.0, &call, &message))
    }
}

fn count(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}

fn limit(usage: LimitUse) -> v1::LimitUse {
    let LimitUse { name, limit, used, refused } = usage;
    v1::LimitUse { name: name.to_owned(), limit, used, refused }
}

fn quota(usage: QuotaUse) -> v1::QuotaUse {
    let QuotaUse { quota, used } = usage;
    v1::QuotaUse {
        namespace: quota.namespace.map(|namespace| namespace.to_string()).unwrap_or_default(),
        secrets_limit: quota.secrets,
        secrets_used: used.secrets,
        bytes_limit: quota.bytes,
        bytes_used: quota.bytes.map(|_| used.bytes),
    }
}

fn unready(unready: Unready) -> v1::UnreadyCause {
    let Unready { cause, detail } = unready;
    v1::UnreadyCause { name: cause.name().to_owned(), description: cause.to_string(), detail }
}

fn audit_log(state: LogState) -> v1::AuditLogStatus {
    let LogState { origin, head, failing, breach } = state;
    let (failure, breach) = (failing.unwrap_or_default(), breach.unwrap_or_default());
    v1::AuditLogStatus { origin, size: head.size, failure, breach }
}

async fn describe(app: &App, call: &Call) -> Result<v1::GetStatusResponse, Error> {
    let grant = call.service_grant(app)?;
    let status = app.status(&grant).await;
    let overview = status.metrics.overview;
    Ok(v1::GetStatusResponse {
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        store: status.metrics.engine.to_owned(),
        revision: status.metrics.revision.0,
        started_at: Some(timestamp(status.started_at)),
        namespaces: count(status.metrics.counts.namespaces),
        secrets: count(status.metrics.counts.secrets),
        damaged_records: count(status.metrics.counts.damaged),
        signing_public_key: status.public_key.0.to_vec(),
        limits: status.metrics.limits.into_iter().map(limit).collect(),
        audit_log: app.audit.state().map(audit_log),
        deleted_secrets: count(status.metrics.counts.deleted_secrets),
        next_due_at: status.next_due.map(timestamp),
        unready_causes: app.readiness.state().unready.into_iter().map(unready).collect(),
        rotations: Some(v1::RotationStatus {
            planned: overview.rotations_planned,
            due: overview.rotations_due,
            overdue: overview.rotations_overdue,
            failing: overview.rotations_failing,
        }),
        expiring_secrets: overview.expiring_secrets,
        api_keys: overview.api_keys,
        unused_api_keys: overview.unused_api_keys,
        bindings: overview.bindings,
        watches: count(status.metrics.watches),
        revisions_behind: status.metrics.behind,
        server_time: Some(timestamp(status.time)),
        quotas: status.quotas.into_iter().map(quota).collect(),
    })
}
