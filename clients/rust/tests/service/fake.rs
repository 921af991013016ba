//! A service on 127.0.0.1 whose answers a test writes down beforehand: for each RPC, or for whatever comes next.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut};
use http::{HeaderMap, Request, Response};
use prost::Message;
use strongroom_client::{ApiKey, Builder, Client, RetryPolicy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
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
    /// Sends what the test sends.
    Live(UnboundedReceiver<Result<Vec<u8>, Status>>),
    /// Never answers.
    Silence,
}

/// What a test sends on an open stream.
pub struct Sender(UnboundedSender<Result<Vec<u8>, Status>>);

impl Sender {
    pub fn send(&self, message: &impl Message) {
        self.0.send(Ok(message.encode_to_vec())).unwrap();
    }

    /// Ends the stream.
    pub fn end(self, answer: Answer) {
        let Answer::Refusal(status) = answer else { panic!("a stream ends with a refusal") };
        self.0.send(Err(status)).unwrap();
    }
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

    /// A stream of what the test sends.
    pub fn live() -> (Sender, Self) {
        let (sender, receiver) = unbounded_channel();
        (Sender(sender), Self::Live(receiver))
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
    /// The answers for the RPCs of these names, and what each answers always.
    routes: Arc<Mutex<HashMap<String, VecDeque<Answer>>>>,
    always: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    /// Starts a service that gives these answers, one for each request. It ends with the test's runtime.
    pub fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let fake = Self {
            address: incoming.local_addr().unwrap(),
            script: Arc::new(Mutex::new(answers.into_iter().collect())),
            routes: Arc::default(),
            always: Arc::default(),
            seen: Arc::default(),
        };
        let server = Server::builder()
            .add_service(Of::<Secrets>::new(&fake))
            .add_service(Of::<Access>::new(&fake))
            .add_service(Of::<References>::new(&fake))
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

    /// What was asked of one RPC since this was called last. What was asked of others is forgotten.
    pub fn seen_by(&self, rpc: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.path.ends_with(&format!("/{rpc}"))).collect()
    }

    /// The next answers of the RPC of this name.
    pub fn then(&self, rpc: &str, answers: impl IntoIterator<Item = Answer>) -> &Self {
        self.routes.lock().unwrap().entry(rpc.to_owned()).or_default().extend(answers);
        self
    }

    /// What the RPC of this name answers where nothing else was written down.
    pub fn always(&self, rpc: &str, reply: &impl Message) -> &Self {
        self.always.lock().unwrap().insert(rpc.to_owned(), reply.encode_to_vec());
        self
    }

    fn next(&self, rpc: &str) -> Answer {
        if let Some(answer) = self.routes.lock().unwrap().get_mut(rpc).and_then(VecDeque::pop_front) {
            return answer;
        }
        if let Some(reply) = self.always.lock().unwrap().get(rpc) {
            return Answer::Reply(reply.clone());
        }
        if rpc == "Watch" {
            return Answer::stream(&[HealthCheckResponse { status: 1 }], None);
        }
        self.script.lock().unwrap().pop_front().expect("no more answers were written down")
    }

    fn note(&self, at: usize, message: Vec<u8>) {
        if let Some(seen) = self.seen.lock().unwrap().get_mut(at) {
            seen.message = message;
        }
    }
}

/// A way to a service that a test can cut.
pub struct Way {
    pub address: SocketAddr,
    accepting: JoinHandle<()>,
    open: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Way {
    pub async fn to(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open: Arc<Mutex<Vec<JoinHandle<()>>>> = Arc::default();
        let opened = open.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                opened.lock().unwrap().push(tokio::spawn(async move {
                    let mut far = TcpStream::connect(service).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }));
            }
        });
        Self { address, accepting, open }
    }

    /// Ends all connections. Further ones are refused.
    pub async fn cut(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
        for connection in self.open.lock().unwrap().drain(..) {
            connection.abort();
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
pub struct References;
pub struct Health;

impl NamedService for Of<Secrets> {
    const NAME: &'static str = "strongroom.v1.SecretService";
}

impl NamedService for Of<Access> {
    const NAME: &'static str = "strongroom.v1.AccessService";
}

impl NamedService for Of<References> {
    const NAME: &'static str = "strongroom.v1.ReferenceService";
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
            let rpc = path.rsplit('/').next().unwrap().to_owned();
            let at = {
                let mut seen = fake.seen.lock().unwrap();
                seen.push(Seen { path, headers, message: Vec::new() });
                seen.len() - 1
            };
            let answering = Answering { fake, at, rpc };
            Ok(match answering.rpc.as_str() {
                "WatchSecrets" | "Watch" => Grpc::new(Bytes).server_streaming(answering, request).await,
                _ => Grpc::new(Bytes).unary(answering, request).await,
            })
        })
    }
}

/// Answers one request.
struct Answering {
    fake: Fake,
    /// Its place in what the fake has seen.
    at: usize,
    rpc: String,
}

type Answered<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>> + Send>>;
type Events = Pin<Box<dyn Stream<Item = Result<Vec<u8>, Status>> + Send>>;

impl UnaryService<Vec<u8>> for Answering {
    type Response = Vec<u8>;
    type Future = Answered<Vec<u8>>;

    fn call(&mut self, request: tonic::Request<Vec<u8>>) -> Self::Future {
        self.fake.note(self.at, request.into_inner());
        let answer = self.fake.next(&self.rpc);
        Box::pin(async move {
            match answer {
                Answer::Reply(reply) => Ok(tonic::Response::new(reply)),
                Answer::Refusal(status) => Err(status),
                Answer::Silence => pending().await,
                Answer::Stream(..) | Answer::Live(_) => panic!("this RPC has one reply"),
            }
        })
    }
}

impl ServerStreamingService<Vec<u8>> for Answering {
    type Response = Vec<u8>;
    type ResponseStream = Events;
    type Future = Answered<Events>;

    fn call(&mut self, request: tonic::Request<Vec<u8>>) -> Self::Future {
        self.fake.note(self.at, request.into_inner());
        let answer = self.fake.next(&self.rpc);
        Box::pin(async move {
            let events: Events = match answer {
                Answer::Stream(replies, end) => {
                    let replies = replies.into_iter().map(Ok);
                    match end {
                        Some(end) => Box::pin(tokio_stream::iter(replies.chain([Err(end)]))),
                        None => Box::pin(tokio_stream::iter(replies).chain(tokio_stream::pending())),
                    }
                }
                Answer::Live(sent) => Box::pin(UnboundedReceiverStream::new(sent)),
                Answer::Refusal(status) => return Err(status),
                Answer::Silence => pending().await,
                Answer::Reply(_) => panic!("this RPC has a stream"),
            };
            Ok(tonic::Response::new(events))
        })
    }
}

/// Messages as they are on the wire.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; from.remaining()];
        from.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}
