//! Accepts connections, each of which is served in a task of its own.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::body::Body;
use tower::Service;

use super::connection::Serving;
use super::drain::stopped;
use super::places::Places;
use crate::api::Begun;

/// The number of files that are left for the store and everything else.
const OTHER_FILES: usize = 64;
/// The pause after a connection could not be accepted, for want of files or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the connections of a listener until the stop, and then until they have ended. They are closed when this is dropped.
pub(super) async fn serve<S>(
    listener: TcpListener,
    serving: Serving<S>,
    places: Arc<Places>,
    mut stop: watch::Receiver<bool>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Begun + Send,
{
    let serving = Arc::new(serving);
    let mut connections = JoinSet::new();
    loop {
        let to_stop = stop.clone();
        tokio::select! {
            accepted = accept(&listener) => match accepted {
                Ok((stream, peer)) => {
                    if let Some((place, connection)) = places.take(peer) {
                        connections.spawn(serving.clone().serve(stream, place, connection, to_stop));
                    }
                }
                Err(error) => {
                    tracing::warn!(cause = %error, "a connection could not be accepted");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = stopped(&mut stop) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer))
}

/// The most connections for which the process may have files. Their number is raised as far as the system lets it.
pub(super) fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    files.saturating_sub(OTHER_FILES).max(16)
}
