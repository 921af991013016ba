//! Requests over plain HTTP/1.1, without a client library: the client is to cost little beside the server.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// A request, ready to be sent again and again.
pub type Request = Rc<[u8]>;

/// Makes a request. `token`: OpenBao's credential, or nothing. `body`: JSON, or nothing.
pub fn request(method: &str, path: &str, token: &str, body: &str) -> Request {
    let credential = if token.is_empty() { String::new() } else { format!("X-Vault-Token: {token}\r\n") };
    let length = match method {
        "GET" => String::new(),
        _ => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
    };
    let text = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{credential}{length}\r\n{body}");
    text.into_bytes().into()
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// A connection that is kept, with one request at a time.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self(BufReader::new(stream))
    }

    /// Sends a request, and waits for the answer. Fails with the connection.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.0.write_all(request).await?;
        let head = self.line().await?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer of HTTP: {head:?}"));
        let mut length = None;
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            if let Some((name, number)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(number.trim().parse().expect("a length"));
            }
        }
        // An answer without a body (204) says no length.
        let length = length.or((status == 204).then_some(0)).expect("an answer that says its length");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok(Answer { status, body })
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        match line.ends_with('\n') {
            true => Ok(line.trim_end().to_owned()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Connections to one server.
pub struct Connections(Vec<Connection>);

impl Connections {
    pub async fn open(address: &str, many: usize) -> Self {
        let mut all = Vec::new();
        for _ in 0..many {
            all.push(Connection::open(address).await);
        }
        Self(all)
    }

    /// Sends so many requests in all, one at a time on each connection. They take turns. All must be answered with the status 200.
    pub async fn send(&mut self, requests: &[Request], many: usize) {
        let next = Rc::new(Cell::new(0));
        let requests: Rc<[Request]> = requests.into();
        let tasks = LocalSet::new();
        let mut senders = Vec::new();
        for mut connection in self.0.drain(..) {
            let (next, requests) = (next.clone(), requests.clone());
            senders.push(tasks.spawn_local(async move {
                while next.get() < many {
                    let request = &requests[next.replace(next.get() + 1) % requests.len()];
                    let answer = connection.send(request).await?;
                    if answer.status != 200 {
                        return Err(io::Error::other(String::from_utf8_lossy(&answer.body).into_owned()));
                    }
                }
                Ok(connection)
            }));
        }
        tasks.await;
        for sender in senders {
            let connection: io::Result<_> = sender.await.expect("a sender that does not panic");
            self.0.push(connection.expect("an answer with the status 200"));
        }
    }
}
