//! The service itself: `strongroom.v1.OperatorService`.
//!
//! Backup, restore and the rotation of keys are streams that report progress. They are sent once, and the client's
//! deadline is for their first answer only.

use tonic::IntoStreamingRequest;

use crate::client::{Client, Replies, Transport};
use crate::error::Error;
use crate::v1::operator_service_client::OperatorServiceClient;
use crate::v1::{
    CreateBackupRequest, CreateBackupResponse, GetMasterKeyStatusRequest, GetMasterKeyStatusResponse,
    GetStatusRequest, GetStatusResponse, RestoreBackupRequest, RestoreBackupResponse, RotateMasterKeyRequest,
    RotateMasterKeyResponse, RotateNamespaceKeysRequest, RotateNamespaceKeysResponse,
};

/// The service's own state, backups and keys; see [`Client::operator`].
#[derive(Clone, Debug)]
pub struct Operator(pub(crate) Client);

fn stub(transport: Transport) -> OperatorServiceClient<Transport> {
    OperatorServiceClient::new(transport)
}

impl Operator {
    /// Asks for the state of the server and its store.
    pub async fn status(&self) -> Result<GetStatusResponse, Error> {
        let send = |transport, request| async move { stub(transport).get_status(request).await };
        self.0.unary(GetStatusRequest {}, send).await
    }

    /// Makes a backup of everything; the chunks in order are the file.
    pub async fn create_backup(&self) -> Result<Replies<CreateBackupResponse>, Error> {
        let open = async |transport| stub(transport).create_backup(CreateBackupRequest {}).await;
        self.0.stream(false, open).await
    }

    /// Replaces everything by a backup, sent in chunks; with `verify_only`, only checks the backup.
    pub async fn restore_backup(
        &self,
        chunks: impl IntoStreamingRequest<Message = RestoreBackupRequest>,
    ) -> Result<Replies<RestoreBackupResponse>, Error> {
        let open = async move |transport| stub(transport).restore_backup(chunks).await;
        self.0.stream(true, open).await
    }

    /// Puts a new master key into use.
    pub async fn rotate_master_key(&self) -> Result<Replies<RotateMasterKeyResponse>, Error> {
        let open = async |transport| stub(transport).rotate_master_key(RotateMasterKeyRequest {}).await;
        self.0.stream(true, open).await
    }

    /// Asks which master key is in use, and how far its rotation is.
    pub async fn master_key_status(&self) -> Result<GetMasterKeyStatusResponse, Error> {
        let send = |transport, request| async move { stub(transport).get_master_key_status(request).await };
        self.0.unary(GetMasterKeyStatusRequest {}, send).await
    }

    /// Puts a new key of one namespace, or of each namespace, into use. The request must say which: the client's namespace
    /// is not filled in.
    pub async fn rotate_namespace_keys(
        &self,
        request: RotateNamespaceKeysRequest,
    ) -> Result<Replies<RotateNamespaceKeysResponse>, Error> {
        let open = async move |transport| stub(transport).rotate_namespace_keys(request).await;
        self.0.stream(true, open).await
    }
}
