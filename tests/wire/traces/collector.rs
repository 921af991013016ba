//! A test collector: it takes spans over OTLP/gRPC, and keeps the bytes.

use std::sync::{Arc, Mutex};
use std::thread;

use prost::bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::otlp::{self, Span};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// How the collector answers.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    Takes,
    /// It takes a batch, except for so many of its spans.
    Rejects(u8),
    /// It is there, and out of order.
    Fails,
    /// It closes each connection.
    IsAway,
    NeverAnswers,
}

/// A running collector. It ends with the tests.
#[derive(Clone)]
pub struct Collector {
    pub port: u16,
    manner: Arc<Mutex<Manner>>,
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// A request that it has taken.
struct Taken {
    headers: String,
    body: Vec<u8>,
}

impl Collector {
    pub fn start(manner: Manner) -> Self {
        Self::behind(None, manner)
    }

    /// The same behind TLS.
    pub fn behind(tls: Option<TlsAcceptor>, manner: Manner) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let collector = Self { port, manner: Arc::new(Mutex::new(manner)), taken: Arc::default() };
        let serving = collector.clone();
        // A thread of its own: tests wait for the server on theirs.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serving.listen(listener, tls));
        });
        collector
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn now(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn manner(&self) -> Manner {
        *self.manner.lock().unwrap()
    }

    /// All bytes that it has taken, with the headers.
    pub fn bytes(&self) -> Vec<u8> {
        let taken = self.taken.lock().unwrap();
        taken.iter().flat_map(|taken| [&taken.body, taken.headers.as_bytes()].concat()).collect()
    }

    /// The spans that it has taken.
    pub fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        taken.iter().flat_map(|taken| otlp::spans(&taken.body[5..])).collect()
    }

    /// The spans of requests, without those of their steps.
    pub fn requests(&self) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.kind == otlp::SERVER).collect()
    }

    async fn listen(self, listener: std::net::TcpListener, tls: Option<TlsAcceptor>) {
        let listener = TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            let (collector, tls) = (self.clone(), tls.clone());
            if self.manner() == Manner::IsAway {
                continue;
            }
            tokio::spawn(async move {
                match tls {
                    None => collector.serve(stream).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            collector.serve(stream).await;
                        }
                    }
                }
            });
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            let collector = self.clone();
            tokio::spawn(async move {
                // A server that ends breaks off.
                let _ = collector.answer(request, respond).await;
            });
        }
    }

    async fn answer(
        self,
        request: http::Request<h2::RecvStream>,
        mut respond: h2::server::SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        assert_eq!(request.uri().path(), EXPORT);
        let (head, mut body) = request.into_parts();
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            bytes.extend(data);
        }
        let response = || http::Response::builder().header("content-type", "application/grpc");
        let message = match self.manner() {
            Manner::NeverAnswers => return std::future::pending().await,
            Manner::Fails | Manner::IsAway => {
                let failed = response().header("grpc-status", "14").body(()).unwrap();
                return respond.send_response(failed, true).map(drop);
            }
            Manner::Takes => Vec::new(),
            // The field 1 has a message whose field 1 is the number.
            Manner::Rejects(many) => vec![0x0a, 2, 0x08, many],
        };
        // Before the answer: a server that has it can end.
        let headers = format!("{:?}", head.headers);
        self.taken.lock().unwrap().push(Taken { headers, body: bytes });
        let mut reply = respond.send_response(response().body(()).unwrap(), false)?;
        reply.send_data(crate::raw::framed(&message).into(), false)?;
        let trailers = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
        reply.send_trailers(trailers.into_iter().collect())
    }
}
