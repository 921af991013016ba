//! Accepts connections: at most so many at once, and over TLS only those that shake hands in time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use super::connection::Connection;

/// The most connections at once, where the process may have so many files.
const MOST: usize = 8192;
/// The number of files that are left for the store and everything else.
const OTHER_FILES: usize = 64;
/// The time within which a TLS handshake must end.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The pause after a connection could not be accepted, for want of files or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections of a listener, over TLS where there is an acceptor. A connection is closed when it has lived for
/// `lifetime`. Accepting ends when the stream is dropped.
pub(super) fn incoming(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    lifetime: Duration,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(1);
    let free = Arc::new(Semaphore::new(most_connections()));
    tokio::spawn(Accepting { acceptor, lifetime, free, to: sender }.run(listener));
    ReceiverStream::new(receiver)
}

/// The task that accepts connections.
struct Accepting {
    acceptor: Option<TlsAcceptor>,
    lifetime: Duration,
    /// One permit for each connection that there may still be.
    free: Arc<Semaphore>,
    to: Sender<io::Result<Connection>>,
}

impl Accepting {
    async fn run(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&listener) => accepted,
                () = self.to.closed() => return,
            };
            match (accepted, &self.acceptor) {
                (Ok((stream, peer, permit)), None) => {
                    let connection = Connection::new(Box::new(stream), peer, self.lifetime, permit);
                    if self.to.send(Ok(connection)).await.is_err() {
                        return;
                    }
                }
                (Ok((stream, peer, permit)), Some(acceptor)) => {
                    let (lifetime, to) = (self.lifetime, self.to.clone());
                    let handshake = acceptor.accept(stream);
                    tokio::spawn(async move {
                        match timeout(HANDSHAKE, handshake).await {
                            Ok(Ok(stream)) => {
                                let connection = Connection::new(Box::new(stream), peer, lifetime, permit);
                                let _ = to.send(Ok(connection)).await; // fails when the server stops
                            }
                            Ok(Err(error)) => tracing::debug!(cause = %error, "a TLS handshake failed"),
                            Err(_elapsed) => tracing::debug!("a TLS handshake took too long"),
                        }
                    });
                }
                (Err(error), _) => {
                    tracing::warn!(cause = %error, "a connection could not be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = self.free.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer, permit))
    }
}

/// The most connections for which the process may have files. Their number is raised as far as the system lets it.
fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    files.saturating_sub(OTHER_FILES).clamp(16, MOST)
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn no_more_connections_are_accepted_than_are_free() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (to, receiver) = mpsc::channel(1);
        let free = Arc::new(Semaphore::new(1));
        tokio::spawn(Accepting { acceptor: None, lifetime: LIFETIME, free: free.clone(), to }.run(listener));
        let mut accepted = ReceiverStream::new(receiver);
        let _peers = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let first = accepted.next().await.unwrap().unwrap();
        assert_eq!(free.available_permits(), 0);
        drop(first);
        assert!(accepted.next().await.unwrap().is_ok());
    }
}
