//! The life of a connection: TLS where there is TLS, then HTTP/2, until the client has gone, has not presented a credential in
//! time, or the connection has reached its age. All bounds of HTTP/2 are here.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::body::Body;
use tower::Service;

use super::drain::stopped;
use super::exchange::Exchanges;
use super::places::Place;
use super::reply::Tasks;
use super::socket::{Duplex, Socket};
use super::tls::Tls;
use crate::api::{Begun, Closing, Connection};
use crate::app::CredentialSources;
use crate::config::{ConnectionAge, Limits};

/// The time within which a TLS handshake must end.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection on which no credential was presented in time may take to end its requests.
const PARTING: Duration = Duration::from_secs(5);
/// The same for a server that stops.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often the server sends a ping, and how long it waits for the answer.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);
/// The largest headers that are read, in bytes. The gate refuses those over 16 KiB with a reason. The library answers larger
/// ones than this with HTTP 431, and ends the connection at four times this, or at more than 6 frames.
const READ_HEADERS: u32 = 64 * 1024;
/// How much of an answer may wait in the library until the socket takes it, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// How many resets may come for requests that the server has not looked at: this many times the requests at a time. The library
/// looks at requests once it has read all that has come. Its default of 20 for a whole connection ends those of honest clients:
/// after a pause of the machine, all requests with a deadline can be reset at once, and more than once.
const PENDING_RESETS: usize = 16;
/// How many streams of a connection may be in error, over its whole life. Data that comes for a request which was refused a
/// moment ago counts too: the library's default of 1024 is little for a server that refuses because it has too much to do.
const ERRORS: usize = 16 * 1024;

/// Waits for the end of a TLS handshake, which must come in time. A connection that is to be closed frees its place at once.
async fn handshake<T>(handshake: impl Future<Output = io::Result<T>>, connection: &Connection) -> Option<T> {
    tokio::select! {
        ended = timeout(HANDSHAKE, handshake) => match ended {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(cause = %error, "a TLS handshake failed");
                // Otherwise the peer has gone.
                if error.kind() == io::ErrorKind::InvalidData {
                    connection.close(Closing::Handshake);
                }
            }
            Err(_elapsed) => connection.close(Closing::Handshake),
        },
        // Nothing authenticates a connection before its handshake has ended.
        () = connection.changed() => {}
    }
    None
}

/// What all connections have in common.
pub(super) struct Serving<S> {
    pub(super) gated: S,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) sources: Arc<CredentialSources>,
    pub(super) age: ConnectionAge,
    pub(super) limits: Limits,
}

impl<S> Serving<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Begun + Send,
{
    /// Serves a connection until its end.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        place: Place,
        connection: Arc<Connection>,
        stop: watch::Receiver<bool>,
    ) {
        self.serve_over(stream, &place, &connection, stop).await;
        if let Some(cause) = connection.closing() {
            place.closed(cause, connection.peer());
        }
    }

    async fn serve_over(
        &self,
        stream: TcpStream,
        place: &Place,
        connection: &Arc<Connection>,
        stop: watch::Receiver<bool>,
    ) {
        let born = Instant::now();
        let stream: Box<dyn Duplex> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => match handshake(tls.acceptor().accept(stream), connection).await {
                Some(stream) => {
                    if let Some(chain) = stream.get_ref().1.peer_certificates() {
                        connection.present(self.sources.certificate(chain));
                    }
                    Box::new(stream)
                }
                None => return,
            },
        };
        let requests = u32::try_from(self.limits.requests_per_connection).unwrap_or(u32::MAX);
        let socket = Socket::new(stream, connection.clone());
        let exchanges =
            Exchanges::new(self.gated.clone(), connection.clone(), socket.windows().clone(), requests);
        let http = self.http(requests).serve_connection(TokioIo::new(socket), exchanges);
        self.until_its_end(pin!(http), born, place, connection, stop).await;
    }

    /// HTTP/2 with its bounds.
    fn http(&self, requests: u32) -> http2::Builder<Tasks> {
        let mut http = http2::Builder::new(Tasks(self.limits.reply_time));
        // gRPC has no use for the header `date`, and a clock before 1970 or after the year 9999 has none.
        http.auto_date_header(false);
        http.timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .max_header_list_size(READ_HEADERS)
            .max_concurrent_streams(requests)
            .max_send_buf_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(
                self.limits.requests_per_connection.saturating_mul(PENDING_RESETS),
            )
            .max_local_error_reset_streams(ERRORS);
        http
    }

    /// Ends a connection at its time: first politely, then for good.
    async fn until_its_end(
        &self,
        mut http: Pin<&mut http2::Connection<TokioIo<Socket>, Exchanges<S>, Tasks>>,
        born: Instant,
        place: &Place,
        connection: &Connection,
        mut stop: watch::Receiver<bool>,
    ) {
        let age = born + self.age.max;
        let mut known = false;
        let mut told = false;
        let mut end = pin!(sleep_until(age.min(born + self.limits.authentication_time)));
        loop {
            tokio::select! {
                biased;
                ended = http.as_mut() => {
                    if let Err(error) = ended {
                        // The library's own error is the source of hyper's.
                        let source = error.source().unwrap_or(&error);
                        tracing::debug!(cause = %source, "a connection failed");
                        if error.is_timeout() {
                            connection.close(Closing::Silent); // its peer does not answer pings
                        } else if source.downcast_ref::<h2::Error>().is_some_and(h2::Error::is_library) {
                            connection.close(Closing::Broken);
                        }
                    }
                    return;
                }
                () = connection.changed() => {
                    if connection.closing().is_some() {
                        return;
                    }
                    if !known && connection.is_authenticated() {
                        known = true;
                        place.authenticated();
                        end.as_mut().reset(if told { age + self.age.grace } else { age });
                    }
                }
                () = end.as_mut() => {
                    if told {
                        // A server that stops has no complaint.
                        if !*stop.borrow() {
                            connection.close(if known { Closing::Age } else { Closing::NotAuthenticated });
                        }
                        return;
                    }
                    told = true;
                    http.as_mut().graceful_shutdown();
                    let grace = if known { self.age.grace } else { self.age.grace.min(PARTING) };
                    end.as_mut().reset(Instant::now() + grace);
                }
                // The drain of the server says when it ends for good. Who has presented no credential holds up no end.
                () = stopped(&mut stop), if !told => {
                    told = true;
                    http.as_mut().graceful_shutdown();
                    let last = if known { age + self.age.grace } else { Instant::now() + FAREWELL };
                    end.as_mut().reset(last);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_handshake_ends_when_its_connection_is_to_be_closed() {
        let connection = Connection::new(([127, 0, 0, 1], 1).into(), 10, 1);
        let began = Instant::now();
        connection.close(Closing::MadeRoom);
        assert!(handshake(pending::<io::Result<()>>(), &connection).await.is_none());
        assert_eq!(began.elapsed(), Duration::ZERO);
        let connection = Connection::new(([127, 0, 0, 1], 1).into(), 10, 1);
        assert!(handshake(pending::<io::Result<()>>(), &connection).await.is_none());
        assert_eq!((began.elapsed(), connection.closing()), (HANDSHAKE, Some(Closing::Handshake)));
        let connection = Connection::new(([127, 0, 0, 1], 1).into(), 10, 1);
        assert_eq!(handshake(async { Ok(1) }, &connection).await, Some(1));
    }
}
