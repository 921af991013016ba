//! Once a connection is closed, by the client or by the server at the connection's age, no value that went over it is left
//! in the server's memory. While a connection is open, the buffers of the HTTP/2 library may hold recent bytes.

use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value as Json};
use strongroom::api::v1::{
    BytesEncoding, CreateSecretRequest, ResolveReferencesRequest, RotateSecretRequest, UpdateSecretRequest,
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::caller::{Caller, Credential, Room};
use crate::harness::{Launch, Server};
use crate::memory::Memory;
use crate::raw::{Wire, framed};
use crate::refusal::{invalid, refused};
use crate::requests::{
    MAX_VALUE, Value, binary, create, get, password, random_bytes, random_uuid, rotate, text, update,
};
use crate::tls::Site;

const CREATE: &str = "/strongroom.v1.SecretService/CreateSecret";
const GET: &str = "/strongroom.v1.SecretService/GetSecret";

/// Less than a block of the cipher; less and more than the HTTP/2 library copies at once; sizes around one frame; more than
/// one frame; the largest.
const SIZES: [usize; 8] = [7, 24, 200, 300, 9_000, 16_384, 33_000, MAX_VALUE];

/// The values that went over a connection, and the calls that carried each.
#[derive(Default)]
struct Canaries(Vec<(Canary, String)>);

/// A value that repeats a short marker, so that any part of it of 16 bytes can be found.
#[derive(Clone)]
struct Canary {
    marker: String,
    text: String,
}

impl Canary {
    fn of(size: usize) -> Self {
        let marker = data_encoding::BASE32_NOPAD.encode(&Uuid::new_v4().as_bytes()[..5]);
        let marker = marker[..marker.len().min(size)].to_owned();
        let text = marker.chars().cycle().take(size).collect();
        Self { marker, text }
    }
}

impl Canaries {
    /// A new value of so many bytes.
    fn make(&mut self, size: usize, done: &str) -> Canary {
        let made = Canary::of(size);
        self.0.push((made.clone(), format!("{done} ({size} bytes)")));
        made
    }

    /// Asserts that none of them is found once nothing of their connection is left.
    async fn are_gone_from(&self, memory: &Memory, after: &str) {
        let markers: Vec<_> = self.0.iter().map(|(canary, _)| canary.marker.as_bytes()).collect();
        let done: Vec<_> = self.0.iter().map(|(canary, done)| format!("{}: {done}", canary.marker)).collect();
        memory.has_none_of(&markers, &format!("{after}: {done:#?}")).await;
    }
}

#[tokio::test]
async fn a_name_in_memory_is_found_and_a_value_is_not() {
    let server = Server::alone();
    let Some(memory) = Memory::of(server.process()) else { return };
    let root = Caller::root(&server).await;
    // The catalog has names in the clear, values never.
    let (name, mut values) = (Canary::of(24), Canaries::default());
    root.create(&format!("n{}", name.text), &values.make(24, "a create").text).await;
    drop(root);
    assert!(!memory.search(&[name.marker.as_bytes()]).unwrap().places.is_empty(), "the name is not found");
    values.are_gone_from(&memory, "the end of the connection").await;
}

#[tokio::test]
async fn no_value_stays_in_memory_once_its_connection_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).argument("--log-level").argument("trace").start();
    let Some(memory) = Memory::of(server.process()) else { return };
    for size in SIZES {
        let mut canaries = Canaries::default();
        let room = Room::on(&server).await;
        let stranger = room.root.make_key("another", "elsewhere").await.1;
        let wire = Wire::as_root(&server).await;
        served(&room, size, &mut canaries).await;
        refusals(&room, &stranger, &wire, size, &mut canaries).await;
        drop((room, stranger, wire));
        canaries.are_gone_from(&memory, "the end of the connections").await;
    }
}

#[tokio::test]
async fn no_value_stays_in_memory_once_its_connection_over_tls_is_closed() {
    let site = Site::open();
    let Some(memory) = Memory::of(site.server.process()) else { return };
    // A record of TLS has at most 16,384 bytes.
    for size in [7, 300, 16_384, MAX_VALUE] {
        let mut canaries = Canaries::default();
        let root = site.caller(&site.authority).await.unwrap();
        served(&root, size, &mut canaries).await;
        drop(root);
        canaries.are_gone_from(&memory, "the end of the connection").await;
    }
}

/// At its age, the server closes its end, though the client's socket stays open.
#[tokio::test]
async fn no_value_stays_in_memory_once_its_connection_has_reached_its_age() {
    let server = AGE.into_iter().fold(Launch::in_memory(), Launch::argument).start();
    let (wire, socket) = Wire::with_socket(&server).await;
    until_its_age(&server, wire).await;
    drop(socket);
}

#[tokio::test]
async fn no_value_stays_in_memory_once_its_connection_over_tls_has_reached_its_age() {
    let site = Site::with(&AGE);
    until_its_age(&site.server, site.wire().await).await;
}

const AGE: [&str; 4] = ["--max-connection-age", "2s", "--max-connection-age-grace", "60s"];

async fn until_its_age(server: &Server, wire: Wire) {
    let Some(memory) = Memory::of(server.process()) else { return };
    let wire = wire.bearer(&server.root_key);
    let (mut canaries, mut served) = (Canaries::default(), 0);
    for (n, size) in SIZES.into_iter().enumerate() {
        let (name, given) = (format!("n{n}"), canaries.make(size, "a create and a get"));
        // A slow machine may not get through all of them in time.
        let created = wire.call(CREATE, &create(&name, &given.text).encode_to_vec()).await;
        let got = wire.call(GET, &get(&name).encode_to_vec()).await;
        served += usize::from(created.is_ok() && got.is_ok());
    }
    assert!(served > 0);
    wire.closed_by_server().await;
    canaries.are_gone_from(&memory, "the age of the connection").await;
}

/// Everything that takes a value or gives one.
async fn served(caller: &Caller, size: usize, canaries: &mut Canaries) {
    let named = |kind: &str| format!("{kind}{size}");
    let given = canaries.make(size, "a create, repeated; gets; resolving references");
    let request_id = Uuid::new_v4().to_string();
    let request = CreateSecretRequest { request_id, ..create(&named("text"), &given.text) };
    caller.create_with(request.clone()).await;
    caller.create_with(request.clone()).await;
    let reused = CreateSecretRequest { name: named("other"), ..request };
    refused(caller.secrets().create_secret(reused).await, tonic::Code::InvalidArgument, "REQUEST_ID_REUSED");

    assert_eq!(caller.value(&named("text")).await, Value::text(given.text.clone()));
    caller.names().await;
    let secret = format!("secrets.{}", named("text"));
    let expressions = [
        format!("$ {secret}"),
        format!("$ f'{{{secret}}}!' + {secret}[1:]"),
        format!("$ {secret}.split('-')"),
        format!(
            "$ [{{'a': {secret}.replace('-', '+')}}, len({secret}), {secret}.lower() == 'a', {secret}[:4] in {secret}]"
        ),
    ];
    let fields = expressions.map(|text| (text.clone(), Json { kind: Some(Kind::StringValue(text)) }));
    let document = Some(Struct { fields: fields.into() });
    let request = ResolveReferencesRequest { document, ..Default::default() };
    let resolved =
        caller.references().resolve_references(request).await.unwrap().into_inner().encode_to_vec();
    let whole = memchr::memmem::find_iter(&resolved, given.text.as_bytes()).count();
    assert!(whole >= 2, "the document is not resolved");

    let given = canaries.make(size, "a create and a get of bytes");
    caller
        .create_with(CreateSecretRequest {
            value: binary(given.text.as_str()),
            ..create(&named("bytes"), "")
        })
        .await;
    caller.get(&named("bytes")).await;
    let given = canaries.make(size, "a rotate");
    caller.rotate(&named("bytes"), &given.text).await;
    let given = canaries.make(size, "an update");
    caller.update(UpdateSecretRequest { value: text(given.text.as_str()), ..update(&named("bytes")) }).await;
}

/// Requests with a value that are not served.
async fn refusals(room: &Room, stranger: &Caller, wire: &Wire, size: usize, canaries: &mut Canaries) {
    let given = canaries.make(size, "an invalid create");
    invalid(room.secrets().create_secret(create("not a name", &given.text)).await, &["name"]);
    let given = canaries.make(size, "a create that was denied");
    let request = CreateSecretRequest { namespace: room.namespace.clone(), ..create("a", &given.text) };
    crate::refusal::denied(stranger.secrets().create_secret(request.clone()).await);
    let given = canaries.make(size, "a create of nobody");
    let request = CreateSecretRequest { value: text(given.text.as_str()), ..request };
    let nobody = room.with(Credential::default());
    refused(
        nobody.secrets().create_secret(request).await,
        tonic::Code::Unauthenticated,
        "CREDENTIAL_MISSING",
    );
    let given = canaries.make(size, "a rotate of nothing");
    crate::refusal::not_found(room.secrets().rotate_secret(rotate("absent", &given.text)).await, "absent");
    let given = canaries.make(size, "a rotate with another etag");
    let request = RotateSecretRequest { etag: "0".into(), ..rotate(&format!("text{size}"), &given.text) };
    refused(room.secrets().rotate_secret(request).await, tonic::Code::Aborted, "ETAG_MISMATCH");

    let given = canaries.make(size, "a message that cannot be decoded");
    let broken = [create("a", &given.text).encode_to_vec(), vec![0xff; 16]].concat();
    wire.call(CREATE, &broken).await.map(drop).unwrap_err();
    let given = canaries.make(size, "a value that is too large");
    let large = given.text.repeat(MAX_VALUE / size + 1);
    invalid(room.secrets().create_secret(create("a", &large)).await, &["value"]);
    let given = canaries.make(size, "a request that was given up in the middle");
    let mut whole = framed(&create("a", &given.text).encode_to_vec());
    whole.pop();
    let mut begun = wire.begin(CREATE, whole).await;
    begun.body.send_reset(h2::Reason::CANCEL);
    drop(begun);
    wire.call(CREATE, &create("a!", "").encode_to_vec()).await.map(drop).unwrap_err();
}

#[tokio::test]
async fn no_reply_stays_in_memory_that_was_given_up_in_the_middle() {
    let server = Server::alone();
    let Some(memory) = Memory::of(server.process()) else { return };
    for window in [2, 100] {
        let root = Caller::root(&server).await;
        let mut canaries = Canaries::default();
        let name = format!("big{window}");
        root.create(&name, &canaries.make(MAX_VALUE, "20 gets").text).await;
        let wire = Wire::with_window(&server, window).await.bearer(&server.root_key);
        for _ in 0..20 {
            wire.abandon(GET, &get(&name).encode_to_vec(), window as usize).await;
        }
        // The last one is given up by the end of the connection itself.
        let begun = wire.begin(GET, framed(&get(&name).encode_to_vec())).await;
        drop((begun, wire, root));
        canaries.are_gone_from(&memory, "the end of the connections").await;
    }
}

#[tokio::test]
async fn no_generated_value_stays_in_memory_once_its_connection_is_closed() {
    let server = Server::alone();
    let Some(memory) = Memory::of(server.process()) else { return };
    for (n, generate) in [
        password(None, ""),
        random_bytes(Some(48), BytesEncoding::Raw),
        random_bytes(Some(48), BytesEncoding::Hex),
        random_bytes(Some(48), BytesEncoding::Base64url),
        random_uuid(),
    ]
    .into_iter()
    .enumerate()
    {
        let request =
            CreateSecretRequest { generate, value: None, return_value: true, ..create(&format!("n{n}"), "") };
        let value = match Value::of(&Caller::root(&server).await.create_with(request).await) {
            Value::Text(text) => text.into_bytes(),
            Value::Binary(bytes) => bytes,
            Value::Redacted => panic!("the value is returned"),
        };
        let ends = [&value[..8], &value[value.len() - 8..]];
        memory.has_none_of(&ends, &format!("the end of the connection, generating value {n}")).await;
    }
}

#[tokio::test]
async fn no_value_stays_in_memory_after_many_at_once() {
    let server = Server::alone();
    let Some(memory) = Memory::of(server.process()) else { return };
    let room = Room::on(&server).await;
    let mut canaries = Canaries::default();
    let given = canaries.make(8, "200 creates and gets over one connection");
    let mut made = JoinSet::new();
    for n in 0..200_usize {
        let (caller, value) = (room.caller.clone(), given.marker.repeat(1 + n * 37 % 400));
        made.spawn(async move {
            let name = format!("n{n}");
            caller.create(&name, &value).await;
            // Some go away before they are answered.
            if n % 50 == 0 {
                let mut secrets = caller.secrets();
                let _ = tokio::time::timeout(std::time::Duration::ZERO, secrets.get_secret(get(&name))).await;
            }
            assert_eq!(caller.value(&name).await, Value::text(value));
        });
    }
    made.join_all().await;
    drop(room);
    canaries.are_gone_from(&memory, "the end of the connection").await;
}
