//! HTTP/2 byte by byte, for what no library sends.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;

use crate::harness::{PATIENCE, Server};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_HEADERS: u8 = 4;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a gRPC request, as a header block.
pub fn headers(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    // Of the static table: POST, http.
    let mut block = vec![0x83, 0x86];
    let path = [(":path", path), (":authority", "localhost"), ("te", "trailers")];
    let content = [("content-type", "application/grpc")];
    for (name, value) in path.iter().chain(&content).chain(more) {
        block.push(0);
        string(name, &mut block);
        string(value, &mut block);
    }
    block
}

/// A string literal (RFC 7541, section 5.2).
pub fn string(text: &str, block: &mut Vec<u8>) {
    match text.len() {
        length @ ..127 => block.push(u8::try_from(length).expect("a short length")),
        length => {
            block.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                block.push(u8::try_from(rest % 128).expect("7 bits") | 128);
                rest /= 128;
            }
            block.push(u8::try_from(rest).expect("7 bits"));
        }
    }
    block.extend(text.as_bytes());
}

/// A connection over which a thread reads everything that the server sends.
pub struct Raw {
    stream: TcpStream,
    reading: thread::JoinHandle<Vec<u8>>,
}

impl Raw {
    /// A connection that has begun HTTP/2.
    pub fn to(server: SocketAddr) -> Self {
        let mut raw = Self::over(TcpStream::connect(server).expect("the server accepts connections"));
        assert!(raw.send(PREFACE) && raw.send(&frame(SETTINGS, 0, 0, &[])), "the connection begins");
        raw
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        let mut other = stream.try_clone().expect("a second handle");
        let reading = thread::spawn(move || {
            let mut read = Vec::new();
            if let Err(error) = other.read_to_end(&mut read) {
                // A reset closes the connection too; a time-out does not.
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the server keeps it open");
            }
            read
        });
        Self { stream, reading }
    }

    /// Sends bytes; whether the connection took them.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.reading.is_finished()
    }

    /// Sends bytes again and again until the server closes the connection; gives how many times.
    pub fn until_closed(mut self, most: usize, mut bytes: impl FnMut(usize) -> Vec<u8>) -> usize {
        let sent = (0..most).find(|n| self.is_closed() || !self.send(&bytes(*n)));
        sent.unwrap_or_else(|| panic!("the server takes {most} of them"))
    }

    /// Everything that the server sent until it closed the connection.
    pub fn closed(self) -> Vec<u8> {
        self.reading.join().expect("the server closes the connection")
    }
}

pub fn local(server: &Server) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, server.port()).into()
}

/// A connection from another address of this machine.
pub async fn connect_from(address: Ipv4Addr, server: SocketAddr) -> std::io::Result<tokio::net::TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind((address, 0).into())?;
    socket.connect(server).await
}

/// The types of the frames of HTTP/2, in their order.
pub fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let [l1, l2, l3, kind, ..] = *bytes {
        types.push(kind);
        let length = u32::from_be_bytes([0, l1, l2, l3]) as usize;
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    types
}
