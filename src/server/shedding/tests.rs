use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use http::{Request, Response, StatusCode};
use tokio::io::duplex;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::super::socket::Socket;
use super::*;
use crate::api::TestOverload;
use crate::audit::{Auditor, Names, Record, Unwritable};

/// Counts refusals.
#[derive(Default)]
struct Counter(Mutex<Vec<(Record, u64)>>);

#[async_trait]
impl Auditor for Counter {
    async fn write(&self, _: &Record) -> Result<(), Unwritable> {
        unreachable!("no request reaches the gate")
    }

    fn names(&self) -> &Names {
        &Names::Plain
    }

    fn refused(&self, record: Record, many: u64) {
        self.0.lock().unwrap().push((record, many));
    }

    async fn check(&self) -> Result<(), Unwritable> {
        Ok(())
    }
}

const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const EMPTY: u8 = 0x20;

/// The streams of a connection on which the server has agreed to the client's settings and written an answer.
fn streams() -> Streams {
    let mut streams = Streams::new(100);
    streams.wrote(
        &[frame(SETTINGS, ACK, 0, &[]), frame(HEADERS, END_HEADERS | END_STREAM, 0, &[0x88])].concat(),
    );
    streams
}

fn frame(kind: u8, flags: u8, stream: u32, rest: &[u8]) -> Vec<u8> {
    let mut frame = Head { length: rest.len(), kind, flags, stream }.bytes().to_vec();
    frame.extend_from_slice(rest);
    frame
}

fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &[0x82; LEAST_HEADERS])
}

fn data(stream: u32, length: usize) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, &vec![0; length])
}

/// What the library is to read of these bytes, which come in pieces of so many bytes.
fn passed(shedding: &mut Shedding, bytes: &[u8], piece: usize) -> Vec<u8> {
    bytes.chunks(piece).for_each(|piece| shedding.read(piece).unwrap());
    shedding.ready().split().to_vec()
}

/// The heads of the frames that the peer is to read.
fn replies(shedding: &mut Shedding) -> Vec<(u8, u32)> {
    let replies = shedding.replies().to_vec();
    shedding.wrote(replies.len());
    let (mut cutter, mut bytes, mut heads) = (Cutter::after(0), &*replies, Vec::new());
    while let Some(piece) = cutter.next(&mut bytes) {
        if let Piece::Head(Head { kind, stream, .. }) = piece {
            heads.push((kind, stream));
        }
    }
    heads
}

/// The frames of an overloaded connection whose client has agreed to keep no table, and the overload.
fn shedding() -> (Shedding, TestOverload) {
    let overload = TestOverload::new(Arc::new(Counter::default()));
    let mut shedding = Shedding::begin(overload.connection.clone(), (Cutter::after(0), streams()));
    assert_eq!(replies(&mut shedding), [(SETTINGS, 0)]);
    let agreed = [frame(SETTINGS, ACK, 0, &[]), frame(HEADERS, END_HEADERS, 1, &[EMPTY])].concat();
    assert_eq!(passed(&mut shedding, &agreed, 1000), frame(HEADERS, END_HEADERS, 1, &[EMPTY]));
    (shedding, overload)
}

#[tokio::test]
async fn nothing_is_left_out_before_the_client_has_emptied_its_table() {
    let first = |flags, rest: &[u8]| [frame(HEADERS, flags | END_HEADERS, 3, rest), data(3, 5)].concat();
    let cases = [
        (first(0, &[EMPTY, 0x82]), true),
        (first(0, &[0x82, EMPTY]), false),
        (first(PADDED, &[1, EMPTY, 0]), true),
        (first(PADDED | PRIORITY, &[1, 0, 0, 0, 0, 9, EMPTY, 0]), true),
        (first(PRIORITY, &[EMPTY, 0, 0, 0, 9, 0x82]), false),
    ];
    for ((first, agrees), piece) in cases.iter().flat_map(|case| [1, 2, 1000].map(|piece| (case, piece))) {
        let overload = TestOverload::new(Arc::new(Counter::default()));
        let mut shedding = Shedding::begin(overload.connection.clone(), (Cutter::after(4), streams()));
        let before = [b"rest".to_vec(), request(1), data(1, 5)].concat();
        assert_eq!(passed(&mut shedding, &before, piece), before);
        // The settings of the library were agreed to before.
        assert_eq!(passed(&mut shedding, &frame(SETTINGS, ACK, 0, &[]), piece), [0_u8; 0]);
        let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
        assert_eq!(passed(&mut shedding, &settings, piece), settings);
        assert_eq!(passed(&mut shedding, first, piece), *first);
        let again = frame(SETTINGS, ACK, 0, &[]);
        assert_eq!(passed(&mut shedding, &again, piece), again, "the library refuses it");
        let second = [request(5), data(5, 5)].concat();
        assert_eq!(passed(&mut shedding, &second, piece), second, "an answer comes first");
        let answer = frame(HEADERS, END_HEADERS, 1, &[0x88]);
        shedding.write(&answer);
        shedding.write(&frame(SETTINGS, ACK, 0, &[]));
        let third = [request(7), data(7, 5)].concat();
        assert_eq!(passed(&mut shedding, &third, piece), third, "the settings hold from the next answer on");
        shedding.write(&answer);
        let fourth = [request(9), data(9, 5)].concat();
        let expected = if *agrees { vec![] } else { fourth.clone() };
        assert_eq!(passed(&mut shedding, &fourth, piece), expected, "{first:?}");
    }
}

#[tokio::test]
async fn a_request_is_left_out_with_all_of_its_frames() {
    let (mut shedding, _overload) = shedding();
    let ping = frame(6, 0, 0, &[0; 8]);
    let left_out = [
        request(3),
        request(5),
        frame(DATA, 0, 3, b"more"),
        frame(WINDOW_UPDATE, 0, 5, &[0, 0, 0, 1]),
        frame(RST_STREAM, 0, 5, &[0, 0, 0, 8]),
        // The client resets it before it has read the refusal.
        frame(RST_STREAM, 0, 5, &[0, 0, 0, 8]),
        frame(HEADERS, END_STREAM, 3, &[]),
        frame(CONTINUATION, END_HEADERS, 3, &[0x82]),
        // Nobody may use its number again.
        request(3),
    ]
    .concat();
    let all = [left_out, ping.clone(), data(1, 0)].concat();
    assert_eq!(passed(&mut shedding, &all, 7), [ping, data(1, 0)].concat());
    assert_eq!(replies(&mut shedding), [(SETTINGS, 0), (HEADERS, 3), (HEADERS, 5)]);
    // A block in pieces is for the library.
    let pieces = [frame(HEADERS, 0, 7, &[0x82]), frame(CONTINUATION, END_HEADERS, 7, &[0x86])].concat();
    assert_eq!(passed(&mut shedding, &pieces, 1000), pieces);
    // The library knows that the streams before are closed.
    let late = frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]);
    assert_eq!(passed(&mut shedding, &late, 1000), late);
}

#[tokio::test]
async fn a_client_that_begins_a_table_again_is_cut_off() {
    for piece in [1, 1000] {
        let read = |shedding: &mut Shedding, bytes: &[u8]| {
            bytes.chunks(piece).try_for_each(|piece| shedding.read(piece))
        };
        let (mut shedding, _overload) = shedding();
        let mut block = vec![0x82; LEAST_HEADERS];
        block[0] = EMPTY;
        read(&mut shedding, &frame(HEADERS, END_HEADERS, 3, &block)).unwrap();
        // A table of 4096 bytes, at the beginning of a block that is left out.
        block[1..4].copy_from_slice(&[0x3f, 0xe1, 0x1f]);
        read(&mut shedding, &frame(HEADERS, END_HEADERS, 5, &block)).unwrap_err();
        let (mut shedding, _overload) = self::shedding();
        read(&mut shedding, &frame(HEADERS, 0, 3, &[EMPTY])).unwrap();
        read(&mut shedding, &frame(CONTINUATION, END_HEADERS, 3, &[0x3f])).unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_may_have_more_requests_under_way_while_requests_are_refused() {
    let settings = |value: [u8; 2]| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, value[0], value[1]]);
    let (mut shedding, overload) = shedding();
    passed(&mut shedding, &[request(3), data(3, 0)].concat(), 1000);
    assert!(shedding.replies().starts_with(&settings([4, 0])));
    replies(&mut shedding);
    drop(overload);
    shedding.end_turn(true);
    assert_eq!(shedding.poll_rested(&mut Context::from_waker(std::task::Waker::noop())), Poll::Pending);
    // The connection may have 100 requests at a time.
    let all: Vec<_> = (0..100).map(|number| request(5 + 2 * number)).collect();
    let all_but_some = all[..87].concat();
    assert_eq!(passed(&mut shedding, &all.concat(), 1000), all_but_some);
    tokio::time::advance(CALM).await;
    shedding.end_turn(true);
    tokio::time::advance(CALM + Duration::from_millis(1)).await;
    replies(&mut shedding);
    shedding.end_turn(true);
    assert_eq!(shedding.replies(), settings([0, 100]));
    assert_eq!(passed(&mut shedding, &request(301), 1000), [0_u8; 0]);
    assert_eq!(replies(&mut shedding), [(SETTINGS, 0), (HEADERS, 301)]);
    let agreed = frame(SETTINGS, ACK, 0, &[]).repeat(2);
    assert_eq!(passed(&mut shedding, &agreed, 1000), [0_u8; 0]);
    assert_eq!(passed(&mut shedding, &request(303), 1000), request(303), "the library counts again");
}

/// The library writes a large frame in two parts.
#[tokio::test]
async fn nothing_comes_between_the_parts_of_a_frame() {
    let (mut shedding, _overload) = shedding();
    let answer = frame(DATA, END_STREAM, 1, &[7; 2 * MOST_REPLIES]);
    let (head, rest) = answer.split_at(MOST_REPLIES + 100);
    shedding.write(head);
    assert!(shedding.is_full() && !shedding.is_full_for_the_library());
    shedding.write(rest);
    assert!(shedding.is_full_for_the_library());
    assert_eq!(shedding.replies(), answer);
}

#[tokio::test]
async fn data_that_is_left_out_gives_the_peer_new_room() {
    let (mut shedding, _overload) = shedding();
    let many = [request(3), frame(DATA, 0, 3, &[0; ROOM - 1]), request(5)].concat();
    passed(&mut shedding, &many, 1000);
    assert_eq!(replies(&mut shedding), [(SETTINGS, 0), (HEADERS, 3), (HEADERS, 5)]);
    passed(&mut shedding, &data(5, 1), 1000);
    assert_eq!(shedding.replies(), frame(WINDOW_UPDATE, 0, 0, &(ROOM as u32).to_be_bytes()));
}

#[tokio::test]
async fn some_requests_are_read_and_all_while_too_many_are_unfinished() {
    let (mut shedding, overload) = shedding();
    let is_passed = |shedding: &mut Shedding, stream| !passed(shedding, &request(stream), 1000).is_empty();
    let mut streams = (3..).step_by(2);
    let read = streams.by_ref().take(4 * SAMPLE as usize).filter(|stream| {
        let is_passed = is_passed(&mut shedding, *stream);
        passed(&mut shedding, &data(*stream, 0), 1000);
        is_passed
    });
    assert_eq!(read.count(), 4);
    let mut unfinished = streams.by_ref().take(10_000);
    assert_eq!(unfinished.position(|stream| is_passed(&mut shedding, stream)), Some(SAMPLE as usize - 2));
    assert!(unfinished.filter(|stream| !is_passed(&mut shedding, *stream)).count() < MOST_OPEN);
    assert!(shedding.is_full());
    drop(overload);
}

/// A client and a server of the HTTP/2 library: tables, windows and states of streams must be right for both.
#[tokio::test(start_paused = true)]
async fn clients_understand_the_refusals_and_go_on_afterwards() {
    let (near, far) = duplex(1 << 20);
    let counter = Arc::new(Counter::default());
    let overload = TestOverload::new(counter.clone());
    let connection = overload.connection.clone();
    let served = tokio::spawn(async move {
        let socket = Socket::new(Box::new(far), connection);
        let mut server = h2::server::handshake(socket).await.unwrap();
        let mut served = 0;
        while let Some(request) = server.accept().await {
            let (request, mut respond) = request.unwrap();
            let mut response = Response::new(());
            let number = request.headers()["x-number"].clone();
            response.headers_mut().insert("x-number", number);
            respond.send_response(response, true).unwrap();
            served += 1;
        }
        served
    });
    let (client, driver) = h2::client::handshake(near).await.unwrap();
    let driver = tokio::spawn(driver);
    let ask = async |number: usize| {
        let request = Request::post("https://strongroom/strongroom.v1.SecretService/GetSecret")
            .header("te", "trailers")
            .header("x-number", number);
        let mut client = client.clone().ready().await.unwrap();
        let (response, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(vec![0; 100].into(), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        match response.headers().get("x-number") {
            Some(answer) => {
                assert_eq!(*answer, number.to_string());
                None
            }
            None => Some(Status::from_header_map(response.headers()).unwrap()),
        }
    };
    let mut read = 0;
    let mut refused: u64 = 0;
    for number in 0..2000 {
        let Some(status) = ask(number).await else {
            read += 1;
            continue;
        };
        refused += 1;
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "TOO_MANY_REQUESTS");
        assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    }
    assert!(refused > 1900, "{refused}");
    drop(overload);
    for number in 0..100 {
        assert!(ask(number).await.is_none());
    }
    drop(client);
    driver.await.unwrap().unwrap();
    assert_eq!(served.await.unwrap(), read + 100);
    let records = counter.0.lock().unwrap();
    assert_eq!(records.iter().map(|(_, many)| many).sum::<u64>(), refused);
    assert!(records.iter().all(|(record, _)| record.reason == Some("TOO_MANY_REQUESTS")));
}
