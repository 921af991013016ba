//! The address for metrics: HTTP/1.1, one request for each connection, and few connections at a time. A new connection takes the
//! place of the oldest one, so that nobody keeps the probes of liveness away by holding connections.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::Sources;

/// How many connections there are at a time.
const CONNECTIONS: usize = 64;
/// How long a connection lasts at most.
const TIME: Duration = Duration::from_secs(10);
/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(2);
/// How much of the head of a request is read, in bytes.
const HEAD: usize = 16 * 1024;
/// The pause after a connection could not be accepted, for want of files or memory.
const PAUSE: Duration = Duration::from_millis(100);

const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves the connections of a listener. They are closed when this is dropped.
pub(super) async fn serve(listener: TcpListener, sources: Arc<Sources>) {
    let mut connections = JoinSet::new();
    // From the oldest to the newest.
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while connections.try_join_next().is_some() {}
                open.retain(|connection| !connection.is_finished());
                if open.len() >= CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                let sources = sources.clone();
                open.push_back(connections.spawn(async move {
                    let _ = timeout(TIME, connection(stream, sources)).await; // too slow: it is closed
                }));
            }
            Err(error) => {
                tracing::warn!(cause = %error, "a connection for metrics could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, sources: Arc<Sources>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let sources = sources.clone();
        async move { Ok::<_, Infallible>(answer(request.method(), request.uri().path(), &sources).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).keep_alive(false).max_buf_size(HEAD).header_read_timeout(HEAD_TIME);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(cause = %error, "a connection for metrics failed");
    }
}

async fn answer(method: &Method, path: &str, sources: &Sources) -> Response<Full<Bytes>> {
    let known = ["/metrics", "/livez", "/readyz"].contains(&path);
    let (status, kind, text) = match path {
        _ if !known => (StatusCode::NOT_FOUND, PLAIN, "There are /metrics, /livez and /readyz.\n".to_owned()),
        _ if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "Only GET and HEAD are allowed.\n".to_owned())
        }
        "/metrics" => (StatusCode::OK, CONTENT_TYPE, sources.text().await),
        "/livez" => (StatusCode::OK, PLAIN, "The server lives.\n".to_owned()),
        _ => {
            let (status, text) = readiness(sources);
            (status, PLAIN, text)
        }
    };
    let mut answer = Response::new(Full::new(Bytes::from(text))); // hyper sends no body to HEAD
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    answer
}

/// Whether requests are served, and a line for each cause why not.
fn readiness(sources: &Sources) -> (StatusCode, String) {
    let state = sources.readiness.state();
    if state.is_ready() {
        return (StatusCode::OK, "The server is ready.\n".to_owned());
    }
    let lines = state.unready.iter().map(|unready| format!("Not ready: {}.\n", unready.cause));
    (StatusCode::SERVICE_UNAVAILABLE, lines.collect())
}
