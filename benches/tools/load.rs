//! Requests over plain HTTP/2, without a client library of gRPC: the client is to cost little beside the server.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderValue, Uri};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tonic::{Code, Status};

use super::server::Process;
use super::tls::Certificate;

/// A request, ready to be sent again and again.
#[derive(Clone)]
pub struct Request {
    uri: Uri,
    credential: HeaderValue,
    body: Bytes,
}

fn bearer(key: &str) -> HeaderValue {
    format!("Bearer {key}").parse().expect("a credential")
}

/// How a request ended.
pub struct Ended {
    pub status: Status,
    /// The time since it was sent. It may have been kept back before.
    pub after: Duration,
    /// The bytes of the answer's messages, with their heads.
    pub received: usize,
}

impl Request {
    /// A request of an RPC, such as `strongroom.v1.SecretService/GetSecret`.
    pub fn new(rpc: &str, key: &str, message: &impl Message) -> Self {
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32(u32::try_from(message.encoded_len()).expect("a short message"));
        message.encode(&mut body).expect("there is room");
        let uri = format!("http://127.0.0.1/{rpc}").parse().expect("an RPC");
        Self { uri, credential: bearer(key), body: body.freeze() }
    }

    /// The same request with another credential.
    pub fn with_key(&self, key: &str) -> Self {
        Self { credential: bearer(key), ..self.clone() }
    }

    /// The same request for a server at an address, with TLS (`https`) or without (`http`).
    pub fn to(self, scheme: &str, address: &str) -> Self {
        let uri = format!("{scheme}://{address}{}", self.uri.path()).parse().expect("an address");
        Self { uri, ..self }
    }

    /// Sends the request once the connection has room for it. Fails with the connection.
    pub async fn send(&self, sender: SendRequest<Bytes>, timeout: &str) -> Result<Ended, h2::Error> {
        let mut sender = sender.ready().await?;
        let request = http::Request::post(self.uri.clone())
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", timeout)
            .header("authorization", self.credential.clone());
        let (response, mut stream) = sender.send_request(request.body(()).expect("a request"), false)?;
        stream.send_data(self.body.clone(), true)?;
        let sent = Instant::now();
        let response = response.await?;
        if let Some(status) = Status::from_header_map(response.headers()) {
            return Ok(Ended { status, after: sent.elapsed(), received: 0 });
        }
        let mut body = response.into_body();
        let mut received = 0;
        while let Some(data) = body.data().await {
            let length = data?.len();
            received += length;
            body.flow_control().release_capacity(length)?;
        }
        let trailers = body.trailers().await?.unwrap_or_default();
        // Something between the client and the server can answer without one.
        let status = Status::from_header_map(&trailers).unwrap_or_else(|| Status::unknown("no status"));
        Ok(Ended { status, after: sent.elapsed(), received })
    }
}

/// Connections to one server.
pub struct Connections(pub Vec<SendRequest<Bytes>>);

impl Connections {
    /// Opens connections.
    pub async fn open(to: &Process, tls: Option<&Certificate>, many: usize) -> Self {
        let mut senders = Vec::new();
        for _ in 0..many {
            let stream = TcpStream::connect(&to.address).await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            senders.push(match tls {
                None => http2(stream).await.expect("HTTP/2"),
                Some(tls) => http2(tls.connect(stream).await).await.expect("HTTP/2"),
            });
        }
        Self(senders)
    }

    /// Sends so many requests in all, `in_flight` of them at a time, which take turns. All must be answered. Gives the bytes of
    /// the answers.
    pub async fn send(&self, requests: &[Request], many: usize, in_flight: usize) -> usize {
        let next = std::rc::Rc::new(std::cell::Cell::new(0));
        let received = std::rc::Rc::new(std::cell::Cell::new(0));
        let requests: std::rc::Rc<[Request]> = requests.into();
        let tasks = LocalSet::new();
        let mut senders = Vec::new();
        for number in 0..in_flight {
            let sender = self.0[number % self.0.len()].clone();
            let (next, requests, received) = (next.clone(), requests.clone(), received.clone());
            senders.push(tasks.spawn_local(async move {
                while next.get() < many {
                    let request = &requests[next.replace(next.get() + 1) % requests.len()];
                    let ended = request.send(sender.clone(), "30S").await.expect("a connection that lasts");
                    assert!(ended.status.code() == Code::Ok, "{:?}", ended.status);
                    received.set(received.get() + ended.received);
                }
            }));
        }
        tasks.await;
        for sender in senders {
            sender.await.expect("a sender that does not fail");
        }
        received.get()
    }
}

/// HTTP/2 over a stream. The connection ends with the process.
pub async fn http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Bytes>, h2::Error> {
    // Without this, the library ends a connection on which many replies come for requests that reached their deadlines.
    let handshake = h2::client::Builder::new().data_frame_budget(1 << 40).handshake(stream);
    let (sender, connection) = handshake.await?;
    tokio::spawn(connection);
    Ok(sender)
}
