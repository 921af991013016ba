//! The audit log: `strongroom.v1.AuditService`.

use crate::client::{Client, Replies, Transport};
use crate::error::Error;
use crate::v1::audit_service_client::AuditServiceClient;
use crate::v1::{
    FindAuditNamesRequest, FindAuditNamesResponse, GetCheckpointRequest, GetCheckpointResponse,
    GetConsistencyProofRequest, GetConsistencyProofResponse, GetInclusionProofRequest,
    GetInclusionProofResponse, ListAuditRecordsRequest, ListAuditRecordsResponse, WatchAuditRecordsRequest,
    WatchAuditRecordsResponse,
};

/// The audit log of the server; see [`Client::audit`].
#[derive(Clone, Debug)]
pub struct Audit(pub(crate) Client);

fn stub(transport: Transport) -> AuditServiceClient<Transport> {
    AuditServiceClient::new(transport)
}

impl Audit {
    /// Lists records, one page of them.
    pub async fn list(&self, request: ListAuditRecordsRequest) -> Result<ListAuditRecordsResponse, Error> {
        let send = |transport, request| async move { stub(transport).list_audit_records(request).await };
        self.0.unary(request, send).await
    }

    /// Receives records as they are written. After an error, watch again from the next index.
    pub async fn watch(
        &self,
        request: WatchAuditRecordsRequest,
    ) -> Result<Replies<WatchAuditRecordsResponse>, Error> {
        let open = async move |transport| stub(transport).watch_audit_records(request).await;
        self.0.stream(false, open).await
    }

    /// Asks for the signed checkpoint of the log.
    pub async fn checkpoint(&self) -> Result<GetCheckpointResponse, Error> {
        let send = |transport, request| async move { stub(transport).get_checkpoint(request).await };
        self.0.unary(GetCheckpointRequest {}, send).await
    }

    /// Asks for the proof that a record is in the tree.
    pub async fn inclusion_proof(
        &self,
        request: GetInclusionProofRequest,
    ) -> Result<GetInclusionProofResponse, Error> {
        let send = |transport, request| async move { stub(transport).get_inclusion_proof(request).await };
        self.0.unary(request, send).await
    }

    /// Asks for the names that a fingerprint stands for.
    pub async fn find_names(&self, fingerprint: impl Into<String>) -> Result<FindAuditNamesResponse, Error> {
        let send = |transport, request| async move { stub(transport).find_audit_names(request).await };
        self.0.unary(FindAuditNamesRequest { fingerprint: fingerprint.into() }, send).await
    }

    /// Asks for the proof that a tree begins with an older one.
    pub async fn consistency_proof(
        &self,
        request: GetConsistencyProofRequest,
    ) -> Result<GetConsistencyProofResponse, Error> {
        let send = |transport, request| async move { stub(transport).get_consistency_proof(request).await };
        self.0.unary(request, send).await
    }
}
