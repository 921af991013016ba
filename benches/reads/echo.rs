//! A bare tonic server that answers each request with the same reply: the measure of what a read costs.
//!
//! It has tonic's defaults, the system's allocator, no credential, no log and no limits. Its service is that which tonic's
//! generated code would have.

use std::convert::Infallible;
use std::io::Write;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use strongroom::api::v1::{GetSecretRequest, GetSecretResponse};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic_prost::ProstCodec;

/// The RPC of the echo.
pub const RPC: &str = "bench.Echo/Get";

/// Serves until the process ends. `size`: the bytes of a reply. `tls`: the files of the certificate and of its key.
pub async fn serve(size: usize, tls: Option<(String, String)>) {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut server = Server::builder();
    if let Some((certificate, key)) = tls {
        let [certificate, key] = [certificate, key].map(|path| std::fs::read(path).expect("a file"));
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
        server = server.tls_config(tls).expect("TLS");
    }
    println!("the echo is ready on tcp://{address}");
    std::io::stdout().flush().expect("standard output");
    let served = server
        .add_service(Echo(reply(size)))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    served.await.expect("a server");
}

/// A reply of this size.
fn reply(size: usize) -> GetSecretResponse {
    use prost::Message;
    use strongroom::api::v1::Secret;
    let mut reply = GetSecretResponse::default();
    while reply.encoded_len() < size {
        let secret = reply.secret.get_or_insert_with(Secret::default);
        secret.description.push('e');
    }
    reply
}

#[derive(Clone)]
struct Echo(GetSecretResponse);

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = Answer(self.0.clone());
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<GetSecretResponse, GetSecretRequest>::default());
            Ok(grpc.unary(answer, request).await)
        })
    }
}

struct Answer(GetSecretResponse);

impl UnaryService<GetSecretRequest> for Answer {
    type Response = GetSecretResponse;
    type Future =
        Pin<Box<dyn Future<Output = Result<tonic::Response<Self::Response>, tonic::Status>> + Send>>;

    fn call(&mut self, _: tonic::Request<GetSecretRequest>) -> Self::Future {
        let reply = std::mem::take(&mut self.0);
        Box::pin(async move { Ok(tonic::Response::new(reply)) })
    }
}
