//! The health check, `grpc.health.v1.Health`, which needs no API key.

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::client::Client;
use crate::error::Error;

/// `HealthCheckRequest` of `grpc/health/v1/health.proto`: the crates that have it bring a server along.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    /// Empty: the server as a whole.
    #[prost(string, tag = "1")]
    service: String,
}

/// `HealthCheckResponse` of the same file.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

impl HealthCheckResponse {
    /// Whether the answer is `ServingStatus.SERVING` of the same file.
    pub(crate) fn is_serving(&self) -> bool {
        const SERVING: i32 = 1;
        self.status == SERVING
    }
}

/// The service whose health counts for a client.
const SERVICE: &str = "strongroom.v1.SecretService";

async fn ready(channel: Channel) -> Result<Grpc<Channel>, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
    Ok(grpc)
}

/// Follows the health of a server.
pub(crate) async fn watch(channel: Channel) -> Result<Streaming<HealthCheckResponse>, Status> {
    let request = Request::new(HealthCheckRequest { service: SERVICE.to_owned() });
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Watch");
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    Ok(ready(channel).await?.server_streaming(request, path, codec).await?.into_inner())
}

impl Client {
    /// Asks whether the service serves requests now. The question carries no API key and is not repeated. With several addresses,
    /// it goes to one of those that serve, if there is one.
    pub async fn is_serving(&self) -> Result<bool, Error> {
        let check = async {
            let request = Request::new(HealthCheckRequest::default());
            let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
            let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
            let channel = self.link().pool.pick(None).await.channel;
            ready(channel).await?.unary(request, path, codec).await.map(Response::into_inner)
        };
        let checked = match tokio::time::timeout(self.deadline(), check).await {
            Ok(reply) => reply.map_err(Error::from),
            Err(_) => Err(Error::no_answer_within(self.deadline())),
        };
        checked.map(|reply| reply.is_serving()).map_err(|error| self.explained(error, "Check"))
    }
}
