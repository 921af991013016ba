//! A service on 127.0.0.1 whose answers a test writes down beforehand. It answers some RPCs on secrets, on API keys and on its health.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use prost::Message;
use strongroom_client::v1;
use strongroom_client::{ApiKey, Builder, Client, RetryPolicy};
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What the fake does with a request.
pub enum Answer {
    /// Sends this reply, of whatever type the RPC has.
    Reply(Vec<u8>),
    Refusal(Status),
    /// Sends these replies as a stream, and ends it with the error; without one, the stream stays open.
    Stream(Vec<Vec<u8>>, Option<Status>),
    /// Never answers.
    Silence,
}

impl Answer {
    pub fn reply(message: &impl Message) -> Self {
        Self::Reply(message.encode_to_vec())
    }

    /// A stream of these replies that ends with an error, or stays open.
    pub fn stream<M: Message>(replies: &[M], end: Option<Answer>) -> Self {
        let end = end.map(|end| match end {
            Self::Refusal(status) => status,
            _ => Status::unavailable("the server is gone"),
        });
        Self::Stream(replies.iter().map(Message::encode_to_vec).collect(), end)
    }

    /// An error as the service sends it.
    pub fn refusal(code: Code, reason: &str, details: ErrorDetails) -> Self {
        let mut details = details;
        details.set_error_info(reason, "strongroom", []);
        details.set_request_info("server-made-id", "");
        Self::Refusal(Status::with_error_details(code, format!("It is {reason}."), details))
    }
}

/// A request as it came.
pub struct Seen {
    pub path: String,
    pub headers: HeaderMap,
    pub message: Vec<u8>,
}

impl Seen {
    pub fn message<M: Message + Default>(&self) -> M {
        M::decode(&*self.message).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// The service. Clones share what it saw.
#[derive(Clone)]
pub struct Fake {
    pub address: SocketAddr,
    script: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    /// Starts a service that gives these answers, one for each request. It ends with the test's runtime.
    pub fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let fake = Self {
            address: incoming.local_addr().unwrap(),
            script: Arc::new(Mutex::new(answers.into_iter().collect())),
            seen: Arc::default(),
        };
        let server = Server::builder()
            .add_service(Of::<Secrets>::new(&fake))
            .add_service(Of::<Access>::new(&fake))
            .add_service(Of::<Health>::new(&fake))
            .serve_with_incoming(incoming);
        tokio::spawn(server);
        fake
    }

    /// A client's settings for this service, with short pauses.
    pub fn builder(&self) -> Builder {
        let retry =
            RetryPolicy { first_delay: std::time::Duration::from_millis(1), ..RetryPolicy::default() };
        let key = ApiKey::parse("srk_id_secret").unwrap();
        Client::builder().server(self.address.to_string()).api_key(key).retry(retry)
    }

    pub async fn client(&self) -> Client {
        self.builder().connect().await.unwrap()
    }

    /// What was asked since this was called last.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    async fn answer(&self, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        self.seen.lock().unwrap().last_mut().unwrap().message = message;
        let answer = self.script.lock().unwrap().pop_front().expect("no more answers were written down");
        match answer {
            Answer::Reply(reply) => Ok(reply),
            Answer::Refusal(status) => Err(status),
            Answer::Stream(..) => panic!("a stream was written down for an RPC with one reply"),
            Answer::Silence => pending().await,
        }
    }

    fn answer_stream(&self, message: Vec<u8>) -> Result<(Vec<Vec<u8>>, Option<Status>), Status> {
        self.seen.lock().unwrap().last_mut().unwrap().message = message;
        match self.script.lock().unwrap().pop_front().expect("no more answers were written down") {
            Answer::Stream(replies, end) => Ok((replies, end)),
            Answer::Refusal(status) => Err(status),
            Answer::Reply(_) | Answer::Silence => panic!("no stream was written down"),
        }
    }
}

/// The reply of `grpc.health.v1.Health/Check`.
#[derive(Clone, PartialEq, Message)]
pub struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    pub status: i32,
}

/// One gRPC service of the fake.
pub struct Of<S> {
    fake: Fake,
    service: std::marker::PhantomData<fn() -> S>,
}

impl<S> Of<S> {
    fn new(fake: &Fake) -> Self {
        Self { fake: fake.clone(), service: std::marker::PhantomData }
    }
}

impl<S> Clone for Of<S> {
    fn clone(&self) -> Self {
        Self::new(&self.fake)
    }
}

pub struct Secrets;
pub struct Access;
pub struct Health;

impl NamedService for Of<Secrets> {
    const NAME: &'static str = "strongroom.v1.SecretService";
}

impl NamedService for Of<Access> {
    const NAME: &'static str = "strongroom.v1.AccessService";
}

impl NamedService for Of<Health> {
    const NAME: &'static str = "grpc.health.v1.Health";
}

impl<S> tower_service::Service<Request<Body>> for Of<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let fake = self.fake.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let headers = request.headers().clone();
            fake.seen.lock().unwrap().push(Seen { path: path.clone(), headers, message: Vec::new() });
            Ok(match path.rsplit('/').next().unwrap() {
                "GetSecret" => fake.unary::<v1::GetSecretRequest, v1::GetSecretResponse>(request).await,
                "CreateSecret" => {
                    fake.unary::<v1::CreateSecretRequest, v1::CreateSecretResponse>(request).await
                }
                "ListSecrets" => fake.unary::<v1::ListSecretsRequest, v1::ListSecretsResponse>(request).await,
                "WatchSecrets" => {
                    let codec =
                        tonic_prost::ProstCodec::<v1::WatchSecretsResponse, v1::WatchSecretsRequest>::default(
                        );
                    Grpc::new(codec).server_streaming(Watching(fake), request).await
                }
                "BatchGetSecrets" => {
                    fake.unary::<v1::BatchGetSecretsRequest, v1::BatchGetSecretsResponse>(request).await
                }
                "ClaimRotation" => {
                    fake.unary::<v1::ClaimRotationRequest, v1::ClaimRotationResponse>(request).await
                }
                "CreateApiKey" => {
                    fake.unary::<v1::CreateApiKeyRequest, v1::CreateApiKeyResponse>(request).await
                }
                "Check" => fake.unary::<(), HealthCheckResponse>(request).await,
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

impl Fake {
    async fn unary<M, R>(self, request: Request<Body>) -> Response<Body>
    where
        M: Message + Default + 'static,
        R: Message + Default + 'static,
    {
        let codec = tonic_prost::ProstCodec::<R, M>::default();
        Grpc::new(codec).unary(Answering(self, std::marker::PhantomData), request).await
    }
}

struct Answering<R>(Fake, std::marker::PhantomData<fn() -> R>);

impl<M, R> UnaryService<M> for Answering<R>
where
    M: Message + Default + 'static,
    R: Message + Default + 'static,
{
    type Response = R;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<R>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<M>) -> Self::Future {
        let (fake, message) = (self.0.clone(), request.get_ref().encode_to_vec());
        Box::pin(async move {
            let reply = fake.answer(message).await?;
            Ok(tonic::Response::new(R::decode(&*reply).unwrap()))
        })
    }
}

/// The stream of a watch.
struct Watching(Fake);

impl ServerStreamingService<v1::WatchSecretsRequest> for Watching {
    type Response = v1::WatchSecretsResponse;
    type ResponseStream = Events;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Events>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<v1::WatchSecretsRequest>) -> Self::Future {
        let (fake, message) = (self.0.clone(), request.get_ref().encode_to_vec());
        Box::pin(async move {
            let (replies, end) = fake.answer_stream(message)?;
            Ok(tonic::Response::new(Events { replies: replies.into(), end }))
        })
    }
}

/// The replies that are left, and how the stream ends.
struct Events {
    replies: VecDeque<Vec<u8>>,
    end: Option<Status>,
}

impl Stream for Events {
    type Item = Result<v1::WatchSecretsResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match (self.replies.pop_front(), self.end.take()) {
            (Some(reply), end) => {
                self.end = end;
                Poll::Ready(Some(Ok(v1::WatchSecretsResponse::decode(&*reply).unwrap())))
            }
            (None, Some(end)) => Poll::Ready(Some(Err(end))),
            // Nothing wakes it: a test drops the watch.
            (None, None) => Poll::Pending,
        }
    }
}
