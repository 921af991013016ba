//! No value stays in the server's memory once its reply has left.

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

/// Less than a block of the cipher; less and more than what the HTTP/2 library copies; more than one of its frames, and
/// what ends just before or behind one; the largest.
const SIZES: [usize; 8] = [7, 24, 200, 300, 9_000, 16_384, 33_000, MAX_VALUE];

/// A value that is found wherever a part of it of 16 bytes is.
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

    fn is_gone_from(&self, memory: &Memory, done: &str) {
        memory.has_none_of(&[self.marker.as_bytes()], &format!("{done} ({} bytes)", self.text.len()));
    }
}

#[tokio::test]
async fn what_the_server_has_is_found() {
    let server = Server::alone();
    let Some(memory) = Memory::of(server.process()) else { return };
    let root = Caller::root(&server).await;
    // The catalog has names in the clear, values never.
    let (name, value) = (Canary::of(24), Canary::of(24));
    root.create(&format!("n{}", name.text), &value.text).await;
    assert!(!memory.search(&[name.marker.as_bytes()]).unwrap().places.is_empty(), "the name is not found");
    value.is_gone_from(&memory, "a create");
}

#[tokio::test]
async fn no_value_stays_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).argument("--log-level").argument("trace").start();
    let Some(memory) = Memory::of(server.process()) else { return };
    let room = Room::on(&server).await;
    let stranger = room.root.make_key("another", "elsewhere").await.1;
    let wire = Wire::as_root(&server).await;
    for size in SIZES {
        served(&room, size, &memory).await;
        refusals(&room, &stranger, &wire, size, &memory).await;
    }
}

#[tokio::test]
async fn no_value_stays_in_memory_over_tls() {
    let site = Site::open();
    let Some(memory) = Memory::of(site.server.process()) else { return };
    let root = site.caller(&site.authority).await.unwrap();
    // A record of TLS has at most 16,384 bytes.
    for size in [7, 300, 16_384, MAX_VALUE] {
        served(&root, size, &memory).await;
    }
}

/// Everything that takes a value or gives one.
async fn served(caller: &Caller, size: usize, memory: &Memory) {
    let named = |kind: &str| format!("{kind}{size}");
    let given = Canary::of(size);
    let request_id = Uuid::new_v4().to_string();
    let request = CreateSecretRequest { request_id, ..create(&named("text"), &given.text) };
    caller.create_with(request.clone()).await;
    given.is_gone_from(memory, "a create");
    caller.create_with(request.clone()).await;
    given.is_gone_from(memory, "a create, repeated");
    let reused = CreateSecretRequest { name: named("other"), ..request };
    refused(caller.secrets().create_secret(reused).await, tonic::Code::InvalidArgument, "REQUEST_ID_REUSED");
    given.is_gone_from(memory, "a create whose request id was used");

    assert_eq!(caller.value(&named("text")).await, Value::text(given.text.clone()));
    given.is_gone_from(memory, "a get");
    caller.names().await;
    given.is_gone_from(memory, "a get, and a list");
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
    given.is_gone_from(memory, "resolving references");

    let given = Canary::of(size);
    caller
        .create_with(CreateSecretRequest {
            value: binary(given.text.as_str()),
            ..create(&named("bytes"), "")
        })
        .await;
    given.is_gone_from(memory, "a create of bytes");
    caller.get(&named("bytes")).await;
    given.is_gone_from(memory, "a get of bytes");
    let given = Canary::of(size);
    caller.rotate(&named("bytes"), &given.text).await;
    given.is_gone_from(memory, "a rotate");
    let given = Canary::of(size);
    caller.update(UpdateSecretRequest { value: text(given.text.as_str()), ..update(&named("bytes")) }).await;
    given.is_gone_from(memory, "an update");
}

/// Requests with a value that are not served.
async fn refusals(room: &Room, stranger: &Caller, wire: &Wire, size: usize, memory: &Memory) {
    let given = Canary::of(size);
    invalid(room.secrets().create_secret(create("not a name", &given.text)).await, &["name"]);
    given.is_gone_from(memory, "an invalid create");
    let request = CreateSecretRequest { namespace: room.namespace.clone(), ..create("a", &given.text) };
    crate::refusal::denied(stranger.secrets().create_secret(request.clone()).await);
    given.is_gone_from(memory, "a create that was denied");
    let nobody = room.with(Credential::default());
    refused(
        nobody.secrets().create_secret(request).await,
        tonic::Code::Unauthenticated,
        "CREDENTIAL_MISSING",
    );
    given.is_gone_from(memory, "a create of nobody");
    crate::refusal::not_found(room.secrets().rotate_secret(rotate("absent", &given.text)).await, "absent");
    given.is_gone_from(memory, "a rotate of nothing");
    let request = RotateSecretRequest { etag: "0".into(), ..rotate(&format!("text{size}"), &given.text) };
    refused(room.secrets().rotate_secret(request).await, tonic::Code::Aborted, "ETAG_MISMATCH");
    given.is_gone_from(memory, "a rotate with another etag");

    let path = "/strongroom.v1.SecretService/CreateSecret";
    let broken = [create("a", &given.text).encode_to_vec(), vec![0xff; 16]].concat();
    wire.call(path, &broken).await.map(drop).unwrap_err();
    given.is_gone_from(memory, "a message that can not be decoded");
    let large = given.text.repeat(MAX_VALUE / size + 1);
    invalid(room.secrets().create_secret(create("a", &large)).await, &["value"]);
    given.is_gone_from(memory, "a value that is too large");
    // The caller goes away amid its request.
    let mut whole = framed(&create("a", &given.text).encode_to_vec());
    whole.pop();
    let mut body = wire.begin(path, whole).await;
    body.send_reset(h2::Reason::CANCEL);
    drop(body);
    wire.call(path, &create("a!", "").encode_to_vec()).await.map(drop).unwrap_err();
    given.is_gone_from(memory, "a request that was given up");
}

#[tokio::test]
async fn no_reply_stays_that_is_given_up_amid_it() {
    let server = Server::alone();
    let Some(memory) = Memory::of(server.process()) else { return };
    let root = Caller::root(&server).await;
    let given = Canary::of(MAX_VALUE);
    root.create("big", &given.text).await;
    let path = "/strongroom.v1.SecretService/GetSecret";
    for window in [2, 100] {
        let wire = Wire::with_window(&server, window).await.bearer(&server.root_key);
        for _ in 0..20 {
            wire.abandon(path, &get("big").encode_to_vec(), window as usize).await;
        }
        // The connection is still there. The last of them stays until it is used, or the server's next ping.
        let refusal = wire.call(path, &get("absent").encode_to_vec()).await.map(drop).unwrap_err();
        assert_eq!(refusal.code(), tonic::Code::NotFound);
        given.is_gone_from(&memory, "20 replies that were given up amid them");
    }
}

#[tokio::test]
async fn no_generated_value_stays_in_memory() {
    let server = Server::alone();
    let Some(memory) = Memory::of(server.process()) else { return };
    let room = Room::on(&server).await;
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
        let value = match Value::of(&room.create_with(request).await) {
            Value::Text(text) => text.into_bytes(),
            Value::Binary(bytes) => bytes,
            Value::Redacted => panic!("the value is returned"),
        };
        let ends = [&value[..8], &value[value.len() - 8..]];
        memory.has_none_of(&ends, &format!("generating value {n}"));
    }
}

#[tokio::test]
async fn no_value_stays_in_memory_after_many_at_once() {
    let server = Server::alone();
    let Some(memory) = Memory::of(server.process()) else { return };
    let room = Room::on(&server).await;
    let given = Canary::of(8);
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
    given.is_gone_from(&memory, "200 creates and gets over one connection");
    drop(room);
    given.is_gone_from(&memory, "the end of the connection");
}
