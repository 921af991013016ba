//! Makes the connections to one address: TCP, then TLS where the address asks for it. Notes what is wrong.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tower_service::Service;

use crate::problem::{Noted, Problem};
use crate::tls::{ALPN, Tls};

/// How long making a connection may take, with the TLS handshake.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection, in plaintext or in TLS.
type Stream = TokioIo<Pin<Box<dyn Duplex>>>;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// Connects to one address.
#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector,
    tls: Option<(Arc<Tls>, ServerName<'static>)>,
    noted: Noted,
}

impl Connector {
    pub(crate) fn new(tls: Option<(Arc<Tls>, ServerName<'static>)>, noted: Noted) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        Self { tcp, tls, noted }
    }
}

/// tonic calls it for each connection, with the address.
impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(())) // as the TCP connector always is
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let Self { mut tcp, tls, noted } = self.clone();
        Box::pin(async move {
            let connection = async {
                let dialed =
                    tcp.call(address).await.map_err(|error| (Problem::of_dial(&error), error.into()))?;
                let stream = dialed.into_inner();
                let stream: Pin<Box<dyn Duplex>> = match tls {
                    None => Box::pin(Plaintext { stream, answered: false, noted: noted.clone() }),
                    Some((tls, name)) => Box::pin(shake_hands(stream, &tls, name).await?),
                };
                Ok(stream)
            };
            let late = |_| {
                let late =
                    io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {CONNECT:?}"));
                Err((Problem::of_dial(&late), late.into()))
            };
            match timeout(CONNECT, connection).await.unwrap_or_else(late) {
                Ok(stream) => {
                    noted.set(None);
                    Ok(TokioIo::new(stream))
                }
                Err((problem, error)) => {
                    noted.set(Some(problem));
                    Err(error)
                }
            }
        })
    }
}

async fn shake_hands(
    stream: TcpStream,
    tls: &Tls,
    name: ServerName<'static>,
) -> Result<impl Duplex + 'static, (Problem, BoxError)> {
    let shaken = TlsConnector::from(tls.config()).connect(name, stream).await;
    let stream = shaken.map_err(|error| (Problem::of_handshake(&error), error.into()))?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        let problem = Problem::Tls("the server does not speak HTTP/2, which gRPC needs".to_owned());
        return Err((problem, "the server does not speak HTTP/2".into()));
    }
    Ok(stream)
}

/// A connection in plaintext, which looks at the first answer.
struct Plaintext {
    stream: TcpStream,
    answered: bool,
    noted: Noted,
}

impl Plaintext {
    /// Notes that the connection broke before the server has answered.
    fn sent<T>(&mut self, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if !self.answered && matches!(sent, Poll::Ready(Err(_))) {
            self.answered = true;
            self.noted.set(Some(Problem::NoPlaintext));
        }
        sent
    }
}

/// The first byte of an alert of TLS (RFC 8446, 5.1). No frame of HTTP/2 begins like that here: the first one is short.
const ALERT: u8 = 21;

impl AsyncRead for Plaintext {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if !self.answered && read.is_ready() {
            self.answered = true;
            let first = buffer.filled().get(before).copied();
            let refused = first.is_none_or(|first| first == ALERT);
            self.noted.set(refused.then_some(Problem::NoPlaintext));
        }
        read
    }
}

impl AsyncWrite for Plaintext {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, data);
        self.sent(sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, data);
        self.sent(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_flush(context);
        self.sent(sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
