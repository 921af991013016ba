//! Accepts connections, so that no peer can use them up by saying nothing: they are bounded in number, and one that is
//! silent for too long is closed. Nothing of a value stays in a connection's buffers.

mod frame;
mod http2;
mod incoming;
mod outgoing;
mod tls;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

pub(crate) use self::http2::Http2;
pub(crate) use self::tls::acceptor;
use crate::api::{Cloakroom, Peer};

/// How many connections there are at most, where the process may have so many files.
const MOST: usize = 8192;
/// How many files are left for the store and everything else.
const OTHER_FILES: usize = 64;
/// How long a new connection may take for the first bytes that HTTP/2 begins with.
const BEGIN: Duration = Duration::from_secs(10);
/// How many bytes these are.
const PREFACE: usize = 24;
/// How long a connection may then be silent. The server's pings, every 30 s, have a live one answer.
const SILENCE: Duration = Duration::from_secs(90);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait after a connection could not be accepted, for want of files or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection, with TLS or without.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A connection that is served.
pub(crate) type Served = Http2<Box<dyn Duplex>>;

/// The connections of a listener, until the stream is dropped; over TLS where there is something to shake hands with.
pub(crate) fn incoming(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
) -> ReceiverStream<io::Result<Served>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(accept(listener, acceptor, Arc::new(Semaphore::new(most_connections())), sender));
    ReceiverStream::new(receiver)
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    free: Arc<Semaphore>,
    to: Sender<io::Result<Served>>,
) {
    loop {
        let accepted = async {
            let permit = free.clone().acquire_owned().await.map_err(io::Error::other)?;
            let (stream, address) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let peer = Peer { address: Some(address), cloakroom: Cloakroom::default() };
            Ok((Connection::new(stream, permit, acceptor.is_some()), peer))
        };
        let accepted: io::Result<(Connection, Peer)> = tokio::select! {
            accepted = accepted => accepted,
            () = to.closed() => return,
        };
        match (accepted, &acceptor) {
            (Ok((connection, peer)), None) => {
                if to.send(Ok(Http2::new(Box::new(connection), peer))).await.is_err() {
                    return;
                }
            }
            (Ok((connection, peer)), Some(acceptor)) => {
                tokio::spawn(shake_hands(acceptor.clone(), connection, peer, to.clone()));
            }
            (Err(error), _) => {
                tracing::warn!(cause = %error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Hands a connection on once it is TLS, within a bound.
async fn shake_hands(
    acceptor: TlsAcceptor,
    connection: Connection,
    peer: Peer,
    to: Sender<io::Result<Served>>,
) {
    match timeout(HANDSHAKE, acceptor.accept(connection)).await {
        Ok(Ok(stream)) => {
            let _ = to.send(Ok(Http2::new(Box::new(stream), peer))).await; // unless the server stops
        }
        Ok(Err(error)) => tracing::debug!(cause = %error, "a TLS handshake failed"),
        Err(_elapsed) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// As many connections as the process may have files for, whose number is raised as far as it goes.
fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    files.saturating_sub(OTHER_FILES).clamp(16, MOST)
}

/// A connection that ends when its peer is silent for too long.
pub(crate) struct Connection {
    stream: TcpStream,
    heard: usize,
    /// When the peer was last known to be there.
    since: Instant,
    silent: Pin<Box<Sleep>>,
    /// Whether the buffers that it is read into hold what was deciphered in them, and are to be wiped.
    wipes: bool,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, permit: OwnedSemaphorePermit, wipes: bool) -> Self {
        let silent = Box::pin(sleep(BEGIN));
        Self { stream, heard: 0, since: Instant::now(), silent, wipes, _permit: permit }
    }

    /// Notes that the peer said something. The timer is set anew once in a while only, since that is not free.
    fn hear(&mut self, bytes: usize) {
        let begun = self.heard >= PREFACE;
        self.heard = self.heard.saturating_add(bytes);
        let now = Instant::now();
        if self.heard >= PREFACE && (!begun || now.duration_since(self.since) > SILENCE / 9) {
            self.since = now;
            self.silent.as_mut().reset(now + SILENCE);
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                let bytes = buffer.filled().len().saturating_sub(before);
                self.hear(bytes);
                Poll::Ready(read)
            }
            Poll::Pending => match self.silent.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => {
                    if self.wipes {
                        buffer.initialize_unfilled().fill(0);
                    }
                    Poll::Pending
                }
            },
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::StreamExt;

    use super::*;

    async fn pair(free: &Arc<Semaphore>) -> (TcpStream, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (peer, Connection::new(stream, free.clone().try_acquire_owned().unwrap(), false))
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_begin_is_closed() {
        let free = Arc::new(Semaphore::new(1));
        let (mut peer, mut connection) = pair(&free).await;
        peer.write_all(&[0; PREFACE - 1]).await.unwrap();
        let begun = Instant::now();
        let ended = connection.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        assert!((BEGIN..BEGIN * 2).contains(&begun.elapsed()));
        drop(connection);
        assert_eq!(free.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_goes_on_is_kept_until_it_is_silent() {
        let free = Arc::new(Semaphore::new(1));
        let (mut peer, mut connection) = pair(&free).await;
        let mut buffer = [0; PREFACE];
        for _ in 0..20 {
            peer.write_all(&buffer).await.unwrap();
            connection.read_exact(&mut buffer).await.unwrap();
            tokio::time::advance(SILENCE / 3).await;
        }
        let ended = connection.read(&mut buffer).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn no_more_connections_are_accepted_than_are_free() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = mpsc::channel(1);
        let free = Arc::new(Semaphore::new(1));
        tokio::spawn(accept(listener, None, free.clone(), sender));
        let mut accepted = ReceiverStream::new(receiver);
        let _peers = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let first = accepted.next().await.unwrap().unwrap();
        assert_eq!(free.available_permits(), 0);
        drop(first);
        assert!(accepted.next().await.unwrap().is_ok());
    }
}
