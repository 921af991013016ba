//! HTTP/2 by hand: requests that no gRPC client sends, and calls of every RPC without its message types.

use std::time::Duration;

use prost::Message;
use prost::bytes::Bytes;
use prost_types::FileDescriptorSet;
use strongroom::api::v1::DESCRIPTORS;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::{Code, Response, Status};

use crate::harness::{PATIENCE, Server};

/// The path of every RPC of the package.
pub fn rpcs() -> Vec<String> {
    let described = FileDescriptorSet::decode(DESCRIPTORS).expect("the descriptors are well-formed");
    let mut paths = Vec::new();
    for file in described.file.iter().filter(|file| file.package() == "strongroom.v1") {
        for service in &file.service {
            let path = |method: &str| format!("/strongroom.v1.{}/{method}", service.name());
            paths.extend(service.method.iter().map(|method| path(method.name())));
        }
    }
    // Six of SecretService, four of AccessService, one of OperatorService: a walk over none would prove nothing.
    assert!(paths.len() >= 11, "the descriptors lack RPCs: {paths:?}");
    paths
}

/// A message in its frame: not compressed, its length, itself.
pub fn framed(message: &[u8]) -> Vec<u8> {
    frame(0, u32::try_from(message.len()).expect("a short message"), message)
}

/// A frame whose head may be false.
pub fn frame(compressed: u8, length: u32, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![compressed];
    frame.extend(length.to_be_bytes());
    frame.extend(message);
    frame
}

const LOCAL: &str = "127.0.0.1";

/// An HTTP/2 connection to a server.
#[derive(Clone)]
pub struct Wire {
    sender: h2::client::SendRequest<Bytes>,
    authority: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    /// Its sender is gone once the connection has ended.
    ended: watch::Receiver<()>,
}

impl Wire {
    /// A connection that presents nothing.
    pub async fn to(server: &Server) -> Self {
        Self::over(connect(server).await, LOCAL).await
    }

    /// The same, with a second handle to its socket, which keeps the socket open.
    pub async fn with_socket(server: &Server) -> (Self, std::net::TcpStream) {
        let stream = connect(server).await.into_std().expect("a socket");
        let socket = stream.try_clone().expect("a second handle");
        let stream = TcpStream::from_std(stream).expect("a socket");
        (Self::over(stream, LOCAL).await, socket)
    }

    /// A connection with a window of so many bytes: the server may send no more at once on each stream.
    pub async fn with_window(server: &Server, window: u32) -> Self {
        let mut builder = h2::client::Builder::new();
        Self::built(connect(server).await, LOCAL, builder.initial_window_size(window)).await
    }

    /// A connection over a stream of bytes that leads to a server of this name.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, authority: &str) -> Self {
        Self::built(stream, authority, &h2::client::Builder::new()).await
    }

    async fn built(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        authority: &str,
        builder: &h2::client::Builder,
    ) -> Self {
        let (sender, connection) = builder.handshake(stream).await.expect("the server speaks HTTP/2");
        let (ends, ended) = watch::channel(());
        // It ends with an error when a test breaks it on purpose.
        tokio::spawn(async move {
            drop(connection.await);
            drop(ends);
        });
        let headers = vec![("te", b"trailers".to_vec()), ("content-type", b"application/grpc".to_vec())];
        Self { sender, authority: authority.to_owned(), headers, ended }
    }

    /// Waits until the server has closed the connection.
    pub async fn closed_by_server(&self) {
        let mut ended = self.ended.clone();
        timeout(PATIENCE, ended.changed()).await.expect("the server closes it").unwrap_err();
    }

    /// Waits until the server takes no new requests on the connection (GOAWAY).
    pub async fn told_to_go_away(&self) {
        // Each request is answered, whatever the answer, or not sent.
        let call = async || self.exchange("/", Vec::new()).await.expect_err("no such RPC");
        let told = async { while !call().await.message().starts_with(BROKEN) {} };
        timeout(PATIENCE, told).await.expect("the server says so");
    }

    pub async fn as_root(server: &Server) -> Self {
        Self::to(server).await.bearer(&server.root_key)
    }

    pub fn bearer(&self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    /// The same connection, with this header on each request.
    pub fn header(&self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        let mut other = self.clone();
        other.headers.retain(|(present, _)| *present != name);
        other.headers.push((name, value.into()));
        other
    }

    /// The same connection, with one more header of this name.
    pub fn also(&self, name: &'static str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name, value.into()));
        other
    }

    /// Calls an RPC with one message, whatever its bytes; gives the reply's message.
    pub async fn call(&self, path: &str, message: &[u8]) -> Result<Response<Vec<u8>>, Status> {
        self.send(path, framed(message)).await
    }

    /// Calls an RPC with a body, whatever its frames.
    pub async fn send(&self, path: &str, body: Vec<u8>) -> Result<Response<Vec<u8>>, Status> {
        timeout(PATIENCE, self.exchange(path, body)).await.expect("the server answers in time")
    }

    /// Begins a request and leaves it open.
    pub async fn begin(&self, path: &str, part_of_body: Vec<u8>) -> Begun {
        let mut sender = self.sender.clone().ready().await.expect("the connection is open");
        let (response, mut body) =
            sender.send_request(self.request(path), false).expect("the request is sent");
        body.send_data(part_of_body.into(), false).expect("the data is sent");
        Begun { response, body }
    }

    /// Calls an RPC, takes so many bytes of the reply as the window lets through, and resets the stream.
    pub async fn abandon(&self, path: &str, message: &[u8], after: usize) {
        let mut sender = self.sender.clone().ready().await.expect("the connection is open");
        let (response, mut stream) =
            sender.send_request(self.request(path), false).expect("the request is sent");
        stream.send_data(framed(message).into(), true).expect("the data is sent");
        let taken = async {
            let mut body = response.await.expect("a response").into_body();
            let mut taken = 0;
            while taken < after {
                taken += body.data().await.expect("more of the reply").expect("data").len();
            }
            stream.send_reset(h2::Reason::CANCEL);
        };
        timeout(PATIENCE, taken).await.expect("the server answers in time");
    }

    /// Calls an RPC and takes no more of the reply than the window lets through at first; gives the code with which the server
    /// then ends the stream.
    pub async fn never_take(&self, path: &str, message: &[u8]) -> Option<h2::Reason> {
        let mut sender = self.sender.clone().ready().await.expect("the connection is open");
        let (response, mut stream) =
            sender.send_request(self.request(path), false).expect("the request is sent");
        stream.send_data(framed(message).into(), true).expect("the data is sent");
        let ended = async {
            let mut body = response.await.map_err(|error| error.reason())?.into_body();
            while let Some(data) = body.data().await {
                data.map_err(|error| error.reason())?;
            }
            panic!("the whole reply came")
        };
        let ended: Result<(), _> = timeout(PATIENCE, ended).await.expect("the server ends the stream");
        ended.expect_err("the stream is not ended well")
    }

    /// Calls an RPC, takes its reply with a pause after each piece, and gives the number of bytes.
    pub async fn take_slowly(&self, path: &str, message: &[u8], pause: Duration) -> Result<usize, h2::Error> {
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut stream) = sender.send_request(self.request(path), false)?;
        stream.send_data(framed(message).into(), true)?;
        let mut body = response.await?.into_body();
        let mut taken = 0;
        while let Some(data) = body.data().await {
            let length = data?.len();
            taken += length;
            tokio::time::sleep(pause).await;
            body.flow_control().release_capacity(length)?;
        }
        Ok(taken)
    }

    async fn exchange(&self, path: &str, body: Vec<u8>) -> Result<Response<Vec<u8>>, Status> {
        let mut sender = self.sender.clone().ready().await.map_err(broken)?;
        let (response, mut stream) = sender.send_request(self.request(path), false).map_err(broken)?;
        // A server that has answered already takes no body.
        let _ = stream.send_data(body.into(), true);
        reply(response).await
    }

    fn request(&self, path: &str) -> http::Request<()> {
        let uri = format!("http://{}{path}", self.authority);
        let mut request = http::Request::post(uri);
        for (name, value) in &self.headers {
            request = request.header(*name, value.as_slice());
        }
        request.body(()).expect("a request")
    }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(("127.0.0.1", server.port())).await.expect("the server accepts connections")
}

/// A request whose body has not ended.
pub struct Begun {
    response: h2::client::ResponseFuture,
    pub body: h2::SendStream<Bytes>,
}

impl Begun {
    /// Waits for the reply while the body stays open.
    pub async fn answered(self) -> Result<Response<Vec<u8>>, Status> {
        timeout(PATIENCE, reply(self.response)).await.expect("the server answers in time")
    }

    /// Sends the rest of the body; gives the reply's message.
    pub async fn end(mut self, rest_of_body: Vec<u8>) -> Result<Response<Vec<u8>>, Status> {
        self.body.send_data(rest_of_body.into(), true).map_err(broken)?;
        timeout(PATIENCE, reply(self.response)).await.expect("the server answers in time")
    }
}

impl Begun {
    /// Waits for the headers of the reply.
    pub async fn headers(&mut self) {
        let response = timeout(PATIENCE, &mut self.response).await.expect("the server answers in time");
        response.expect("a response");
    }

    /// Resets the stream.
    pub fn reset(mut self) {
        self.body.send_reset(h2::Reason::CANCEL);
    }

    /// Waits for the reply, of which nothing more is taken. It stays open until it is dropped.
    pub async fn begun(self) -> Result<h2::RecvStream, Status> {
        let response = timeout(PATIENCE, self.response).await.expect("the server answers in time");
        let response = response.map_err(broken)?;
        match Status::from_header_map(response.headers()) {
            Some(status) => Err(status),
            None => Ok(response.into_body()),
        }
    }
}

async fn reply(response: h2::client::ResponseFuture) -> Result<Response<Vec<u8>>, Status> {
    let response = response.await.map_err(broken)?;
    if let Some(status) = Status::from_header_map(response.headers()) {
        return Err(status);
    }
    if response.status() != http::StatusCode::OK {
        return Err(Status::unknown(format!("HTTP status {} and no gRPC status", response.status())));
    }
    let mut message = Vec::new();
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let data = data.map_err(broken)?;
        body.flow_control().release_capacity(data.len()).map_err(broken)?;
        message.extend(data);
    }
    let trailers = body.trailers().await.map_err(broken)?.unwrap_or_default();
    match Status::from_header_map(&trailers) {
        Some(status) if status.code() == Code::Ok => {
            Ok(Response::new(message.split_off(message.len().min(5))))
        }
        Some(status) => Err(status),
        None => Err(Status::unknown("a reply without a gRPC status")),
    }
}

const BROKEN: &str = "the HTTP/2 stream failed";

/// A failure below gRPC. The server never answers with `Unknown`, so no test takes it for an answer.
fn broken(error: h2::Error) -> Status {
    Status::unknown(format!("{BROKEN}: {error}"))
}
