//! A peer that sends more than the server can do, and reads none of its refusals.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::beside::{BOUND, beside, key};
use super::raw::{DATA, END_HEADERS, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, frame, headers, local};
use crate::harness::{PATIENCE, Server};

const WHO_AM_I: &str = "/strongroom.v1.AccessService/WhoAmI";
/// A message without fields.
const EMPTY: [u8; 5] = [0; 5];
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
/// What the first header block begins with that uses no table: a table of 0 bytes (RFC 7541, section 6.3).
const WITHOUT_TABLE: u8 = 0x20;
/// The setting for the size of the header table, with the value 0.
const NO_TABLE: [u8; 6] = [0, 1, 0, 0, 0, 0];
/// Room for the answers on the connection, in bytes: close to the most.
const ROOM: u32 = 1 << 30;
/// How many requests a connection may have at a time.
const AT_A_TIME: usize = 100;
/// More bursts than it takes until the server is overloaded.
const BURSTS: usize = 1000;
/// More bytes than all buffers between the two hold, and many times the server's bound on refusals that wait.
const MANY: usize = 64 << 20;
/// How long the server takes nothing before it counts as stuck.
const STUCK: Duration = Duration::from_secs(2);

#[tokio::test]
async fn refusals_that_are_not_read_wait_in_little_memory() {
    let mut server = Server::alone();
    let (address, credential) = (local(&server), key(&server).await);
    let abuse = async move { spawn_blocking(move || Peer::to(address, &credential).abuse()).await.unwrap() };
    let (taken, refused) = beside(&mut server, BOUND, abuse).await;
    println!("of {taken} requests on the connection, {refused} were refused");
    assert!(refused > taken / 2, "of {taken} requests, {refused} were refused");
    assert!(!server.stop().await.all().contains("panicked"));
}

/// A connection that sends requests in bursts.
struct Peer {
    stream: TcpStream,
    /// The header block of each request. It uses no table of headers.
    block: Vec<u8>,
    next: u32,
}

/// What came in answer to some requests.
#[derive(Default)]
struct Answers {
    /// How many had no message.
    refused: usize,
    /// Whether the server asked for requests without a table of headers.
    is_overloaded: bool,
}

impl Peer {
    fn to(server: SocketAddr, credential: &str) -> Self {
        let stream = TcpStream::connect(server).expect("the server accepts connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(STUCK)).expect("a time-out");
        let block = headers(WHO_AM_I, &[("x-api-key", credential), ("grpc-timeout", "1S")]);
        let mut peer = Self { stream, block, next: 1 };
        let settings = frame(SETTINGS, 0, 0, &[]);
        let begin = [PREFACE, &settings, &frame(WINDOW_UPDATE, 0, 0, &ROOM.to_be_bytes())].concat();
        peer.stream.write_all(&begin).expect("the connection begins");
        while peer.frame().0 != SETTINGS {}
        peer.agree();
        peer
    }

    /// Overloads the server, then sends more without reading until the server takes no more. Gives how many requests it took meanwhile,
    /// and how many of them it had refused once the refusals were read.
    fn abuse(mut self) -> (usize, usize) {
        self.overload();
        let (mut bytes, mut requests) = (0, 0);
        loop {
            let burst = self.burst();
            if self.stream.write_all(&burst).is_err() {
                break;
            }
            (bytes, requests) = (bytes + burst.len(), requests + AT_A_TIME);
            assert!(bytes < MANY, "the server reads on although nobody takes its refusals");
        }
        // What waited comes now, and the connection goes on. No settings are agreed to: a part of a request was sent last.
        (requests, self.answers(requests).refused)
    }

    /// Sends bursts until the server asks for requests without a table of headers, and agrees to that.
    fn overload(&mut self) {
        let asked = (0..BURSTS).any(|_| {
            let burst = self.burst();
            self.stream.write_all(&burst).expect("the server takes a burst");
            self.answers(AT_A_TIME).is_overloaded
        });
        assert!(asked, "the server is never overloaded");
        self.agree();
        self.block.insert(0, WITHOUT_TABLE);
    }

    /// Agrees to settings of the server.
    fn agree(&mut self) {
        self.stream.write_all(&frame(SETTINGS, ACK, 0, &[])).expect("the server takes the agreement");
    }

    /// Reads so many answers.
    fn answers(&mut self, many: usize) -> Answers {
        let (mut answers, mut begun, mut ended) = (Answers::default(), 0, 0);
        while ended < many {
            let (kind, flags, payload) = self.frame();
            match kind {
                SETTINGS if payload == NO_TABLE => answers.is_overloaded = true,
                HEADERS if flags & END_STREAM == 0 => begun += 1,
                HEADERS => ended += 1,
                _ => {}
            }
        }
        answers.refused = ended - begun;
        answers
    }

    /// The type of the next frame, its flags and its payload.
    fn frame(&mut self) -> (u8, u8, Vec<u8>) {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).expect("a frame");
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).expect("a whole frame");
        (kind, flags, payload)
    }

    /// As many requests as the connection may have at a time.
    fn burst(&mut self) -> Vec<u8> {
        let mut burst = Vec::new();
        for _ in 0..AT_A_TIME {
            burst.extend(frame(HEADERS, END_HEADERS, self.next, &self.block));
            burst.extend(frame(DATA, END_STREAM, self.next, &EMPTY));
            self.next += 2;
        }
        burst
    }
}
