//! The wire: one file per gRPC service, and what they share. Generated types stay on this floor and in the command line.
//!
//! Every request passes the [`gate`] first, which authenticates it, answers it in a task of its own so that nothing
//! started is left half-done when the caller goes, and writes its audit record before the answer leaves.

mod access;
mod call;
mod convert;
mod gate;
mod in_flight;
mod operator;
mod reference;
mod rpc;
mod secret;
mod status;
pub mod v1;
mod version;

use std::sync::Arc;

use tonic::service::Routes;

pub use self::gate::{Gate, Peer};
pub use self::in_flight::InFlight;
use crate::app::App;

/// The largest message that is accepted, in bytes.
pub const MAX_MESSAGE: usize = 1 << 20;

/// The services of `strongroom.v1`, to be served behind a [`Gate`].
pub fn services(app: &Arc<App>) -> Routes {
    let secrets = v1::secret_service_server::SecretServiceServer::new(secret::Secrets(app.clone()));
    let access = v1::access_service_server::AccessServiceServer::new(access::Access(app.clone()));
    let operator = v1::operator_service_server::OperatorServiceServer::new(operator::Operator(app.clone()));
    let references =
        v1::reference_service_server::ReferenceServiceServer::new(reference::References(app.clone()));
    Routes::new(secrets.max_decoding_message_size(MAX_MESSAGE))
        .add_service(access.max_decoding_message_size(MAX_MESSAGE))
        .add_service(operator.max_decoding_message_size(MAX_MESSAGE))
        .add_service(references.max_decoding_message_size(MAX_MESSAGE))
}

/// The names of the services of `strongroom.v1`.
pub const SERVICES: [&str; 4] = [
    "strongroom.v1.SecretService",
    "strongroom.v1.AccessService",
    "strongroom.v1.OperatorService",
    "strongroom.v1.ReferenceService",
];
