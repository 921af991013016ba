//! The package `strongroom.v1` over gRPC: one file per service, which turns messages into calls of the app and results
//! into messages. The services share `call`, `convert` and `status`, which has the errors.

mod access;
mod audit;
mod batch;
mod call;
mod convert;
mod namespaces;
mod operator;
pub mod proto;
mod reference;
mod rotation;
pub(super) mod rpcs;
mod secret;
pub(super) mod status;
mod version;
mod watch;

use std::sync::Arc;

use self::proto::access_service_server::AccessServiceServer;
use self::proto::audit_service_server::AuditServiceServer;
use self::proto::operator_service_server::OperatorServiceServer;
use self::proto::reference_service_server::ReferenceServiceServer;
use self::proto::secret_service_server::SecretServiceServer;
use super::MAX_MESSAGE;
use super::services::{Collected, Services};
use crate::app::App;

/// The names of the services.
pub const SERVICES: [&str; 5] = [
    "strongroom.v1.SecretService",
    "strongroom.v1.AccessService",
    "strongroom.v1.OperatorService",
    "strongroom.v1.ReferenceService",
    AUDIT_SERVICE,
];

/// The service that reads the audit log.
pub const AUDIT_SERVICE: &str = "strongroom.v1.AuditService";

/// The services, to be served behind a [`Gate`](super::Gate).
pub fn services(app: &Arc<App>) -> Services {
    let secrets = SecretServiceServer::new(secret::Secrets(app.clone()));
    let access = AccessServiceServer::new(access::Access(app.clone()));
    let audit = AuditServiceServer::new(audit::AuditLog(app.clone()));
    let operator = OperatorServiceServer::new(operator::Operator(app.clone()));
    let references = ReferenceServiceServer::new(reference::References(app.clone()));
    Collected::default()
        .with(secrets.max_decoding_message_size(MAX_MESSAGE))
        .with(access.max_decoding_message_size(MAX_MESSAGE))
        .with(operator.max_decoding_message_size(MAX_MESSAGE))
        .with(audit.max_decoding_message_size(MAX_MESSAGE))
        .with(references.max_decoding_message_size(MAX_MESSAGE))
        .services()
}
