//! A connection: TCP, or TLS over it. It fails, and so is closed, when its peer is silent for too long or when it has
//! lived for too long. All bytes pass as they are.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::transport::server::Connected;

use crate::api::Peer;

/// The time within which a new connection must send the preface of HTTP/2.
const BEGIN: Duration = Duration::from_secs(10);
/// The length of that preface, in bytes (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// The longest silence of a connection after that. The server sends a ping every 30 s, which a live client answers.
const SILENCE: Duration = Duration::from_secs(90);

/// A byte stream of a peer: TCP, or TLS over it.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A connection. It fails with `TimedOut` at each of its limits.
pub(super) struct Connection {
    stream: Box<dyn Duplex>,
    peer: SocketAddr,
    /// How many bytes the peer has sent.
    received: usize,
    /// The last time when the peer is known to have been there.
    heard: Instant,
    /// The end of its life.
    end: Instant,
    /// Wakes the task at the next limit.
    limit: Pin<Box<Sleep>>,
    /// Its place among all connections.
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// A connection that is accepted now. It gives its permit back when it is dropped.
    pub(super) fn new(
        stream: Box<dyn Duplex>,
        peer: SocketAddr,
        lifetime: Duration,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let now = Instant::now();
        let end = now + lifetime;
        let limit = Box::pin(sleep_until(end.min(now + BEGIN)));
        Self { stream, peer, received: 0, heard: now, end, limit, _permit: permit }
    }

    /// Notes that the peer sent something. Setting the timer is not free, so that is done once in a while only.
    fn hear(&mut self, bytes: usize) {
        let begun = self.received >= PREFACE;
        self.received = self.received.saturating_add(bytes);
        let now = Instant::now();
        if self.received >= PREFACE && (!begun || now.duration_since(self.heard) > SILENCE / 9) {
            self.heard = now;
            self.limit.as_mut().reset(self.end.min(now + SILENCE));
        }
    }

    /// Ready with an error once a limit is reached.
    fn poll_limit<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.limit.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer(self.peer)
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
                self.hear(buffer.filled().len().saturating_sub(before));
                Poll::Ready(read)
            }
            Poll::Pending => self.poll_limit(context),
        }
    }
}

/// The HTTP/2 library does not read while it cannot write, so a write that waits is limited too.
impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.poll_limit(context),
            written => written,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, parts) {
            Poll::Pending => self.poll_limit(context),
            written => written,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => self.poll_limit(context),
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.poll_limit(context),
            shut_down => shut_down,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(3600);

    async fn pair(free: &Arc<Semaphore>) -> (TcpStream, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, address) = listener.accept().await.unwrap();
        let permit = free.clone().try_acquire_owned().unwrap();
        (peer, Connection::new(Box::new(stream), address, LIFETIME, permit))
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
        let (mut peer, mut connection) = pair(&Arc::new(Semaphore::new(1))).await;
        let mut buffer = [0; PREFACE];
        for _ in 0..20 {
            peer.write_all(&buffer).await.unwrap();
            connection.read_exact(&mut buffer).await.unwrap();
            tokio::time::advance(SILENCE / 3).await;
        }
        let ended = connection.read(&mut buffer).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_goes_on_is_closed_at_the_end_of_its_life() {
        let (mut peer, mut connection) = pair(&Arc::new(Semaphore::new(1))).await;
        let (begun, mut buffer) = (Instant::now(), [0; PREFACE]);
        let ended = loop {
            peer.write_all(&buffer).await.unwrap();
            connection.read_exact(&mut buffer).await.unwrap();
            // Not the whole way to the limit of silence.
            match timeout(SILENCE / 2, connection.read(&mut buffer)).await {
                Ok(ended) => break ended.unwrap_err(),
                Err(_elapsed) => assert!(begun.elapsed() < LIFETIME),
            }
        };
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        assert!((LIFETIME..LIFETIME + SILENCE).contains(&begun.elapsed()));
    }

    /// The HTTP/2 library then waits for the write alone.
    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_peer_takes_nothing_is_closed() {
        let (mut peer, mut connection) = pair(&Arc::new(Semaphore::new(1))).await;
        peer.write_all(&[0; PREFACE]).await.unwrap();
        connection.read_exact(&mut [0; PREFACE]).await.unwrap();
        let begun = Instant::now();
        let ended = connection.write_all(&vec![0; 64 << 20]).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        assert!((SILENCE / 2..SILENCE * 2).contains(&begun.elapsed()));
    }
}
