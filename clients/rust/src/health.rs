//! The health check, `grpc.health.v1.Health`, which needs no API key.

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Response, Status};
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
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `ServingStatus.SERVING` of the same file.
const SERVING: i32 = 1;

impl Client {
    /// Asks whether the service serves requests now. The question carries no API key and is not repeated.
    pub async fn is_serving(&self) -> Result<bool, Error> {
        let check = async {
            let mut grpc = Grpc::new(self.channel());
            grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
            let request = Request::new(HealthCheckRequest::default());
            let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
            grpc.unary(request, path, codec).await.map(Response::into_inner)
        };
        match tokio::time::timeout(self.deadline(), check).await {
            Ok(reply) => Ok(reply?.status == SERVING),
            Err(_) => Err(Error::no_answer_within(self.deadline())),
        }
    }
}
