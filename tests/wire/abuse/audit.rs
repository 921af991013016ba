//! Attacks on the audit log: a flood of strangers, a log that is read slowly or not at all, documents that name many secrets,
//! and headers that try to look like fields of a record.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use h2::Reason;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value as Wired};
use strongroom::api::v1::{ResolveReferencesRequest, WhoAmIRequest};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::{Code, Response};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;
use uuid::Uuid;

use super::beside::{BOUND, peak};
use crate::audit::{Event, events, events_of};
use crate::caller::{Caller, Room, endpoint};
use crate::harness::{Launch, Server};
use crate::raw::{Wire, framed};
use crate::refusal::refused;
use crate::requests::{Value, create};

const GET: &str = "/strongroom.v1.SecretService/GetSecret";
const CREATE: &str = "/strongroom.v1.SecretService/CreateSecret";
const WHO_AM_I: &str = "/strongroom.v1.AccessService/WhoAmI";
const RESOLVE: &str = "/strongroom.v1.ReferenceService/ResolveReferences";

/// A reader of a log that takes about 300 lines a second.
struct SlowReader(mpsc::Sender<usize>);

/// How many bytes the reader takes at a time: about one line.
const PORTION: usize = 400;
const PORTIONS_PER_SECOND: u32 = 300;

impl SlowReader {
    /// The reader, and its server.
    fn of(launch: Launch) -> (Self, Server) {
        let (portions, taken) = mpsc::channel(1);
        (Self(portions), launch.log_read_by(taken).start())
    }

    /// Reads until a call has ended, and gives its result.
    async fn while_reading<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = std::pin::pin!(call);
        // The time between two portions makes the reader slow. Nothing waits for a time to have passed.
        let mut pace = tokio::time::interval(Duration::from_secs(1) / PORTIONS_PER_SECOND);
        let mut portion = async || {
            pace.tick().await;
            // Each portion waits until the one before is read.
            self.0.send(PORTION).await.expect("the log is read");
        };
        loop {
            tokio::select! {
                biased;
                result = &mut call => return result,
                () = portion() => {}
            }
        }
    }
}

/// A connection from one of the addresses of this machine.
async fn wire_from(server: &Server, host: u8) -> Wire {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 1, host], 0))).unwrap();
    let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], server.port()))).await.unwrap();
    Wire::over(stream, "127.0.0.1").await
}

/// How many refusals of strangers the events tell of.
fn strangers(events: &[Event]) -> usize {
    let of_strangers = events.iter().filter(|event| event.text("principal").is_empty());
    let of_strangers =
        of_strangers.filter(|event| !event.rpc().is_empty() || !event.text("refusals").is_empty());
    let sizes = of_strangers.map(|event| match event.text("refusals").as_str() {
        "" => 1,
        size => size.parse().unwrap(),
    });
    sizes.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_refuses_no_key_holder_though_the_log_is_read_slowly() {
    const PEERS: u8 = 120;
    /// So many in flight on each connection that the lines of all would take the reader more than the 5 seconds that a record
    /// may take.
    const AT_ONCE: usize = 15;
    const REFUSALS: usize = 45;
    let (reader, server) = SlowReader::of(Launch::in_memory());
    let room = reader.while_reading(Room::on(&server)).await;
    reader.while_reading(room.create("A", "v")).await;

    let before = peak(&server);
    let mut flood = JoinSet::new();
    for host in 1..=PEERS {
        let wire = wire_from(&server, host).await;
        for _ in 0..AT_ONCE {
            let wire = wire.clone();
            flood.spawn(async move {
                for _ in 0..REFUSALS / AT_ONCE {
                    let refusal = wire.call(GET, b"").await.unwrap_err();
                    let (code, reason) = match refusal.code() {
                        // A server that has too much to do does not look for a credential.
                        Code::ResourceExhausted => (Code::ResourceExhausted, "TOO_MANY_REQUESTS"),
                        _ => (Code::Unauthenticated, "CREDENTIAL_MISSING"),
                    };
                    refused(Err::<Response<()>, _>(refusal), code, reason);
                }
            });
        }
    }
    // The key holder is served while the flood goes on, and until lines of it are in the log.
    let (mut reads, mut worst) = (0, Duration::ZERO);
    let told = |server: &Server| strangers(&events_so_far(server)) > 0;
    while reads < 40 || !flood.is_empty() || !told(&server) {
        let since = Instant::now();
        assert_eq!(reader.while_reading(room.value("A")).await, Value::text("v"));
        worst = worst.max(since.elapsed());
        reads += 1;
        while let Some(ended) = flood.try_join_next() {
            ended.unwrap();
        }
    }
    let grown = peak(&server).saturating_sub(before);
    println!(
        "audit flood: {reads} reads succeeded, the slowest in {worst:?}; the server's memory grew by {} KiB",
        grown >> 10
    );
    assert!(grown < BOUND, "the server's memory grew by {grown} bytes");
    drop(reader);
    let events = events_of(server).await;
    assert_eq!(strangers(&events), usize::from(PEERS) * REFUSALS, "every refusal is told or counted");
    // Refusals of requests that were not read tell no RPC.
    let (lines, known): (Vec<_>, Vec<_>) =
        events.iter().partition(|event| event.text("principal").is_empty());
    let lines = lines.len();
    let own = known.iter().filter(|event| event.rpc().ends_with("/GetSecret")).count();
    assert_eq!(own, reads, "and every read has a record");
    assert!(lines < usize::from(PEERS) * REFUSALS / 2, "{lines} lines");
}

/// The events in the complete lines of the log.
fn events_so_far(server: &Server) -> Vec<Event> {
    let log = server.logged();
    events(log.rsplit_once('\n').map_or("", |(complete, _)| complete))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_log_is_not_read_strangers_are_answered_and_health_says_that_key_holders_are_not() {
    let (reader, server) = SlowReader::of(Launch::in_memory());
    let room = reader.while_reading(Room::on(&server)).await;
    let mut health = HealthClient::new(endpoint(&server.url).connect().await.unwrap());
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut reported = async || watched.next().await.unwrap().unwrap().status();
    assert_eq!(reported().await, ServingStatus::Serving);
    // Requests until the pipe is full.
    while room.access().who_am_i(WhoAmIRequest {}).await.is_ok() {}
    let unrecorded = room.access().who_am_i(WhoAmIRequest {}).await;
    let status = refused(unrecorded, Code::Unavailable, "AUDIT_UNAVAILABLE");
    assert!(status.get_details_retry_info().is_some());
    assert_eq!(reported().await, ServingStatus::NotServing);
    let wire = Wire::to(&server).await;
    for _ in 0..1000 {
        refused(wire.call(GET, b"").await, Code::Unauthenticated, "CREDENTIAL_MISSING");
    }
    // The server finds out by itself that the log is read again.
    drop(reader);
    assert_eq!(reported().await, ServingStatus::Serving);
    room.create("A", "v").await;
    let events = events_of(server).await;
    assert_eq!(strangers(&events), 1000);
}

#[tokio::test]
async fn a_document_makes_no_more_log_than_it_has_bytes() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    let wire = Wire::as_root(&server).await;
    let short: Vec<_> = (0..999).map(|n| format!("n{n}")).collect();
    let long: Vec<_> = (0..999).map(|n| format!("{n:n>128}").replace('n', "_")).collect();
    for name in &short {
        let request = create(name, "v");
        wire.call(CREATE, &request.encode_to_vec()).await.unwrap();
    }
    let missing: Vec<_> = short.iter().map(|name| format!("m{name}")).collect();
    let mut sizes = Vec::new();
    for names in [&short, &missing, &long, &vec!["n1".to_owned(); 999]] {
        let expressions = names.iter().map(|name| format!("$ secrets.{name}"));
        let fields = (0..).map(|n: usize| n.to_string()).zip(expressions.map(text));
        let document = Some(Struct { fields: fields.collect() });
        let request = ResolveReferencesRequest { document, ..Default::default() }.encode_to_vec();
        drop(wire.call(RESOLVE, &request).await);
        sizes.push(request.len());
    }
    drop(room);
    let log = server.stop().await.stderr;
    let lines: Vec<_> = log.lines().filter(|line| line.contains("/ResolveReferences")).collect();
    assert_eq!(lines.len(), sizes.len(), "each document has one line");
    for (line, size) in lines.iter().zip(sizes) {
        assert!(line.len() <= size + 1024, "{size} bytes of request made {} of log", line.len());
    }
    let events = events(&lines.join("\n"));
    let read = events[0].text("read");
    let expected = short.iter().map(|name| format!("{name}@1"));
    assert!(expected.clone().all(|name| read.split(',').any(|read| read == name)), "{read}");
    assert_eq!(read.split(',').count(), 999);
    for event in &events[1..3] {
        assert_eq!((event.text("read"), event.text("not_read_size")), (String::new(), "999".into()));
        assert_eq!(event.text("not_read").split(',').count(), 10);
    }
    assert_eq!(events[3].text("read"), "n1@1");
}

#[tokio::test]
async fn a_request_that_its_caller_ends_early_is_recorded_as_cancelled() {
    let codes = [
        Reason::NO_ERROR,
        Reason::CANCEL,
        Reason::PROTOCOL_ERROR,
        Reason::INTERNAL_ERROR,
        Reason::REFUSED_STREAM,
        Reason::ENHANCE_YOUR_CALM,
    ];
    let server = Server::alone();
    let wire = Wire::as_root(&server).await;
    let whole = framed(&create("A", "v").encode_to_vec());
    let mut begun = Vec::new();
    for code in codes {
        for sent in [0, 3, 7, whole.len()] {
            begun.push((wire.begin(CREATE, whole[..sent].to_vec()).await, code));
        }
    }
    let size = begun.len();
    // The server has begun all of them once it has answered a later request.
    wire.call(WHO_AM_I, b"").await.unwrap();
    for (mut begun, code) in begun {
        begun.body.send_reset(code);
    }
    wire.call(WHO_AM_I, b"").await.unwrap();
    assert!(
        Caller::root(&server).await.names().await.is_empty(),
        "a request that did not end has made a change"
    );
    let events = events_of(server).await;
    let ended = events.iter().filter(|event| event.rpc().ends_with("/CreateSecret"));
    let told: Vec<_> = ended.map(|event| (event.text("outcome"), event.text("reason"))).collect();
    assert_eq!(told, vec![("CANCELLED".to_owned(), String::new()); size]);
}

fn text(text: String) -> Wired {
    Wired { kind: Some(Kind::StringValue(text)) }
}

#[tokio::test]
async fn the_callers_own_id_of_a_request_looks_like_no_other_field() {
    let forged = [
        "id",
        "x\"principal=\"key:root\"outcome=ok",
        "x,\"principal\":\"key:root\"",
        "x principal=\"key:root\"",
        "é",
        &"y".repeat(129),
    ];
    for format in ["text", "json"] {
        let server = Launch::in_memory().argument("--log-format").argument(format).start();
        let root = Caller::root(&server).await;
        let key = root.access().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner().api_key.unwrap().id;
        let wire = Wire::as_root(&server).await;
        let mut ids = Vec::new();
        for given in forged {
            let absent = wire.header("x-request-id", given).call(GET, b"").await.unwrap_err();
            let id = absent.get_details_request_info().unwrap().request_id;
            assert_eq!(Uuid::try_parse(&id).unwrap().get_version_num(), 7, "the server makes the id: {id}");
            ids.push(id);
        }
        let log = server.stop().await.stderr;
        for (id, given) in ids.iter().zip(forged) {
            let lines: Vec<_> = log.lines().filter(|line| line.contains(id)).collect();
            let [line] = lines.as_slice() else { panic!("{lines:?}") };
            let fits = given.bytes().all(|byte| byte.is_ascii_graphic()) && given.len() <= 128;
            if format == "json" {
                let event = events(line).remove(0);
                assert_eq!(event.text("principal"), format!("key:{key}"));
                assert_eq!(event.text("caller_request_id"), if fits { given } else { "" });
                assert_eq!(event.text("outcome"), "INVALID_ARGUMENT");
            } else {
                assert_eq!(line.contains("caller_request_id="), fits, "{line}");
                let quoted = given.replace('"', "\\\"");
                assert!(!fits || line.contains(&format!(" caller_request_id=\"{quoted}\"")), "{line}");
                assert_eq!(line.matches(" principal=\"").count(), 1, "{line}");
            }
        }
    }
}
