//! Connections to the server under load. One that is lost is made again, as any client does.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::tally::Outcome;
use crate::tools::{Request, Trust, http2};

/// How long to wait before a lost connection is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Where a server is.
#[derive(Clone)]
pub struct Place {
    /// A name or an address; an IPv6 one in brackets.
    pub host: String,
    pub port: u16,
    /// None: plaintext.
    pub tls: Option<Trust>,
}

impl Place {
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    async fn connect(&self) -> io::Result<SendRequest<Bytes>> {
        let stream = TcpStream::connect(self.address()).await?;
        stream.set_nodelay(true)?;
        let connected = match &self.tls {
            None => http2(stream).await,
            Some(tls) => {
                let host = self.host.trim_start_matches('[').trim_end_matches(']');
                http2(tls.connect(host, stream).await?).await
            }
        };
        connected.map_err(io::Error::other)
    }
}

/// Connections that take turns.
pub struct Lines {
    lines: Vec<Line>,
    turn: Cell<usize>,
}

struct Line {
    place: Place,
    /// How often it was connected, and the connection unless it is lost.
    connected: RefCell<(u64, Option<SendRequest<Bytes>>)>,
}

impl Lines {
    /// Opens so many, to one place after the other.
    pub async fn open(places: &[Place], many: usize) -> io::Result<Rc<Self>> {
        let mut lines = Vec::new();
        for place in places.iter().cycle().take(many) {
            let connected = RefCell::new((0, Some(place.connect().await?)));
            lines.push(Line { place: place.clone(), connected });
        }
        Ok(Rc::new(Self { lines, turn: Cell::new(0) }))
    }

    /// Sends a request on the next connection, as soon as that has room for it. `left`: the time until its deadline. Must be
    /// called on a tokio `LocalSet`.
    pub async fn send(self: Rc<Self>, request: Request, left: Duration) -> Outcome {
        let lost = Outcome::Failed("connection lost".into());
        let Some((at, times, sender)) = self.next() else { return lost };
        let place = &self.lines[at].place;
        let request = request.to(place.scheme(), &place.address());
        match request.send(sender, &format!("{}m", left.as_millis().max(1))).await {
            Ok(ended) => outcome(&ended.status),
            Err(error) if error.is_reset() => Outcome::Failed("stream reset".into()),
            Err(_) => {
                self.connect_again(at, times);
                lost
            }
        }
    }

    /// The next connection that is not lost.
    fn next(&self) -> Option<(usize, u64, SendRequest<Bytes>)> {
        (0..self.lines.len()).find_map(|_| {
            let at = self.turn.replace(self.turn.get() + 1) % self.lines.len();
            let (times, sender) = &*self.lines[at].connected.borrow();
            Some((at, *times, sender.clone()?))
        })
    }

    /// Connects again, unless that was begun since the connection was made.
    fn connect_again(self: Rc<Self>, at: usize, times: u64) {
        let mut connected = self.lines[at].connected.borrow_mut();
        if connected.0 != times || connected.1.is_none() {
            return;
        }
        connected.1 = None;
        drop(connected);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                if let Ok(sender) = self.lines[at].place.connect().await {
                    self.lines[at].connected.replace((times + 1, Some(sender)));
                    return;
                }
            }
        });
    }
}

fn outcome(status: &Status) -> Outcome {
    match status.code() {
        Code::Ok => Outcome::Answered,
        Code::DeadlineExceeded => Outcome::Late,
        code => {
            let details = status.get_error_details();
            let reason = details.error_info().map(|info| info.reason.clone());
            Outcome::Failed(reason.filter(|reason| !reason.is_empty()).unwrap_or(format!("{code:?}")))
        }
    }
}
