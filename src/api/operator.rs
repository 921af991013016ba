//! OperatorService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::call::Call;
use super::convert::timestamp;
use super::v1;
use super::v1::operator_service_server::OperatorService;
use crate::app::{App, Error};

/// OperatorService over the app.
pub(super) struct Operator(pub(super) Arc<App>);

#[tonic::async_trait]
impl OperatorService for Operator {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let (call, v1::GetStatusRequest {}) = Call::open(&self.0, request)?;
        call.close(status(&self.0, &call))
    }
}

fn status(app: &App, call: &Call) -> Result<v1::GetStatusResponse, Error> {
    let grant = call.service_grant()?;
    let status = app.status(&grant);
    let count = |many: usize| u64::try_from(many).unwrap_or(u64::MAX);
    Ok(v1::GetStatusResponse {
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        store: status.engine.to_owned(),
        revision: status.revision.0,
        started_at: Some(timestamp(status.started_at)),
        namespaces: count(status.counts.namespaces),
        secrets: count(status.counts.secrets),
        damaged_records: count(status.counts.damaged),
    })
}
