//! Accepts connections, so that no peer can use them up by saying nothing: they are bounded in number, and one that is
//! silent for too long is closed.

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
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

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
/// How long to wait after a connection could not be accepted, for want of files or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections of a listener, until the stream is dropped.
pub(crate) fn incoming(listener: TcpListener) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(accept(listener, Arc::new(Semaphore::new(most_connections())), sender));
    ReceiverStream::new(receiver)
}

async fn accept(listener: TcpListener, free: Arc<Semaphore>, to: Sender<io::Result<Connection>>) {
    loop {
        let accepted = async {
            let permit = free.clone().acquire_owned().await.map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Connection::new(stream, permit))
        };
        let accepted: io::Result<Connection> = tokio::select! {
            accepted = accepted => accepted,
            () = to.closed() => return,
        };
        match accepted {
            Ok(connection) => {
                if to.send(Ok(connection)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(cause = %error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
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
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, permit: OwnedSemaphorePermit) -> Self {
        Self { stream, heard: 0, since: Instant::now(), silent: Box::pin(sleep(BEGIN)), _permit: permit }
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
                Poll::Pending => Poll::Pending,
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

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
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
        (peer, Connection::new(stream, free.clone().try_acquire_owned().unwrap()))
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
        tokio::spawn(accept(listener, free.clone(), sender));
        let mut accepted = ReceiverStream::new(receiver);
        let _peers = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let first = accepted.next().await.unwrap().unwrap();
        assert_eq!(free.available_permits(), 0);
        drop(first);
        assert!(accepted.next().await.unwrap().is_ok());
    }
}
