//! The clients: connections, and the requests on them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use prost::Message;
use strongroom::api::v1::GetSecretRequest;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::server::{NAME, Server};

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With the secret, in time.
    Answered,
    /// With RESOURCE_EXHAUSTED, in time.
    Refused,
    /// The same, but nothing says when to try again.
    RefusedWithoutRetryInfo,
    /// Not in time.
    Late,
    /// With the connection.
    Lost,
}

/// How the requests ended, and after how long. The time of one that was kept back begins when it is sent.
#[derive(Default)]
pub struct Tally(Vec<(Outcome, Duration)>);

impl Tally {
    pub fn sent(&self) -> usize {
        self.0.len()
    }

    pub fn count(&self, outcome: Outcome) -> usize {
        self.0.iter().filter(|(ended, _)| *ended == outcome).count()
    }

    /// The time within which this part of the requests with an outcome ended.
    pub fn within(&self, outcome: Outcome, part: f64) -> Duration {
        let mut times: Vec<_> =
            self.0.iter().filter(|(ended, _)| *ended == outcome).map(|(_, time)| *time).collect();
        times.sort_unstable();
        let place = (times.len() as f64 * part) as usize;
        times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

pub struct Connections {
    senders: Vec<SendRequest<Bytes>>,
    request: Request,
}

#[derive(Clone)]
struct Request {
    uri: String,
    key: String,
    body: Bytes,
}

impl Connections {
    /// Opens connections that use the root key.
    pub async fn open(server: &Server, many: usize) -> Self {
        let mut senders = Vec::new();
        for _ in 0..many {
            let stream = TcpStream::connect(&server.address).await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            // Without this, the library ends a connection on which many replies come for requests that reached their deadlines.
            let handshake = h2::client::Builder::new().data_frame_budget(1 << 40).handshake(stream);
            let (sender, connection) = handshake.await.expect("HTTP/2");
            // It ends with the process.
            tokio::spawn(connection);
            senders.push(sender);
        }
        let message = GetSecretRequest { name: NAME.into(), ..Default::default() };
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32(u32::try_from(message.encoded_len()).expect("a short message"));
        message.encode(&mut body).expect("there is room");
        let uri = format!("http://{}/strongroom.v1.SecretService/GetSecret", server.address);
        let request = Request { uri, key: format!("Bearer {}", server.key), body: body.freeze() };
        Self { senders, request }
    }

    /// Sends one request on each connection, each with a key of its own. Gives the number of those that were answered.
    pub async fn use_keys(&self, keys: &[String]) -> usize {
        let mut answered = 0;
        for (sender, key) in self.senders.iter().zip(keys) {
            let request = Request { key: format!("Bearer {key}"), ..self.request.clone() };
            let (outcome, _) = request.send(sender.clone(), "30S").await;
            answered += usize::from(outcome == Outcome::Answered);
        }
        answered
    }

    /// Sends the next request when the one before is answered, so many at a time on each connection. Gives the answers in a
    /// second.
    pub async fn closed_loop(&self, in_flight: usize, time: Duration) -> f64 {
        let end = Instant::now() + time;
        let tally = Rc::<RefCell<Tally>>::default();
        let tasks = LocalSet::new();
        for sender in &self.senders {
            for _ in 0..in_flight {
                let (sender, request, tally) = (sender.clone(), self.request.clone(), tally.clone());
                tasks.spawn_local(async move {
                    while Instant::now() < end {
                        let sent = Instant::now();
                        let outcome = request.send(sender.clone(), "30S").await.0;
                        tally.borrow_mut().0.push((outcome, sent.elapsed()));
                    }
                });
            }
        }
        tasks.await;
        let answered = tally.borrow().count(Outcome::Answered);
        answered as f64 / time.as_secs_f64()
    }

    /// Sends so many requests in each second, whatever comes back.
    pub async fn open_loop(&self, rate: f64, time: Duration, deadline: Duration) -> Tally {
        let tally = Rc::<RefCell<Tally>>::default();
        let tasks = LocalSet::new();
        let offering = tasks.run_until(async {
            let begun = Instant::now();
            let mut sent = 0_usize;
            while begun.elapsed() < time {
                let due = (begun.elapsed().as_secs_f64() * rate) as usize;
                while sent < due {
                    let sender = self.senders[sent % self.senders.len()].clone();
                    let (request, tally) = (self.request.clone(), tally.clone());
                    tokio::task::spawn_local(async move {
                        let due = Instant::now();
                        let answer = tokio::time::timeout(deadline, request.send(sender, "1S")).await;
                        let ended = answer.unwrap_or((Outcome::Late, deadline));
                        // The timer can be late where much is to do.
                        let late = due.elapsed() > deadline && ended.0 != Outcome::Lost;
                        tally.borrow_mut().0.push(if late { (Outcome::Late, deadline) } else { ended });
                    });
                    sent += 1;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        offering.await;
        tasks.await;
        tally.take()
    }
}

impl Request {
    /// Sends the request once the connection has room for it. Gives its outcome, and the time since it was sent.
    async fn send(&self, sender: SendRequest<Bytes>, timeout: &str) -> (Outcome, Duration) {
        let begun = Instant::now();
        self.exchange(sender, timeout).await.unwrap_or_else(|_lost| (Outcome::Lost, begun.elapsed()))
    }

    async fn exchange(
        &self,
        sender: SendRequest<Bytes>,
        timeout: &str,
    ) -> Result<(Outcome, Duration), h2::Error> {
        let mut sender = sender.ready().await?;
        let request = http::Request::post(&self.uri)
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", timeout)
            .header("authorization", &self.key);
        let (response, mut stream) = sender.send_request(request.body(()).expect("a request"), false)?;
        stream.send_data(self.body.clone(), true)?;
        let sent = Instant::now();
        let response = response.await?;
        if let Some(status) = Status::from_header_map(response.headers()) {
            return Ok((refused(&status), sent.elapsed()));
        }
        let mut body = response.into_body();
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data?.len())?;
        }
        let trailers = body.trailers().await?.unwrap_or_default();
        let status = Status::from_header_map(&trailers).expect("an answer has a status");
        let outcome = if status.code() == Code::Ok { Outcome::Answered } else { refused(&status) };
        Ok((outcome, sent.elapsed()))
    }
}

fn refused(status: &Status) -> Outcome {
    match status.code() {
        Code::ResourceExhausted if status.get_details_retry_info().is_some() => Outcome::Refused,
        Code::ResourceExhausted => Outcome::RefusedWithoutRetryInfo,
        Code::DeadlineExceeded => Outcome::Late,
        code => panic!("{code:?}: {}", status.message()),
    }
}
