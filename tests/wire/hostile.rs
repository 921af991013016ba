//! Messages and frames that no honest client sends: each is refused in the form of all refusals, without a panic and
//! without a trace in the store.

use prost::Message;
use strongroom::api::v1::{CreateSecretRequest, WatchAuditRecordsRequest, WatchSecretsRequest};
use tonic::{Code, Response, Status};

use crate::caller::{Caller, Room};
use crate::harness::Server;
use crate::raw::{Wire, frame, framed, rpcs};
use crate::refusal::{reason_of, refused};
use crate::requests::{Value, create, delete, describe, get, list, pairs, rotate};

const CREATE: &str = "/strongroom.v1.SecretService/CreateSecret";
const LIMIT: usize = 1 << 20;

#[tokio::test]
async fn random_bytes_are_refused_by_every_rpc() {
    let site = Site::open().await;
    let mut random = Random(0x5712_0a6e);
    for rpc in rpcs() {
        for round in 0..60 {
            let length = random.below(if round % 4 == 0 { 2000 } else { 40 });
            let mut message = random.bytes(length);
            if rpc.ends_with("/WatchAuditRecords") {
                // A watch that is served has no end: so it begins at a record that there is not.
                message.extend(
                    WatchAuditRecordsRequest { filter: None, from_index: Some(u64::MAX) }.encode_to_vec(),
                );
            }
            if rpc.ends_with("/WatchSecrets")
                && let Ok(watch) = WatchSecretsRequest::decode(message.as_slice())
            {
                // So does this one: it begins in the future.
                message = WatchSecretsRequest { after_revision: u64::MAX, ..watch }.encode_to_vec();
            }
            answered_in_form(site.wire.call(&rpc, &message).await, &rpc);
        }
    }
    site.unharmed().await;
}

#[tokio::test]
async fn requests_with_a_few_bytes_altered_are_refused_or_mean_something() {
    let site = Site::open().await;
    let full = CreateSecretRequest {
        description: "what for".into(),
        metadata: pairs(&[("k", "v"), ("owner", "payments")]),
        request_id: uuid::Uuid::nil().to_string(),
        ..create("mutant", "the value")
    };
    let requests = [
        (CREATE, full.encode_to_vec()),
        ("/strongroom.v1.SecretService/GetSecret", get("mutant").encode_to_vec()),
        ("/strongroom.v1.SecretService/ListSecrets", list().encode_to_vec()),
        ("/strongroom.v1.SecretService/UpdateSecret", describe("mutant", "d").encode_to_vec()),
        ("/strongroom.v1.SecretService/RotateSecret", rotate("mutant", "w").encode_to_vec()),
        ("/strongroom.v1.SecretService/DeleteSecret", delete("mutant").encode_to_vec()),
    ];
    let mut random = Random(0x00c0_ffee);
    for (rpc, message) in &requests {
        for _ in 0..60 {
            let mut message = message.clone();
            for _ in 0..=random.below(3) {
                random.alter(&mut message);
            }
            answered_in_form(site.wire.call(rpc, &message).await, rpc);
        }
    }
    // Secrets that were made are whole: each secret in the list can be read.
    let root = Caller::root(&site.server).await;
    let page = root.list(list()).await;
    assert_eq!(page.total_size, i32::try_from(page.items.len()).unwrap());
    for item in page.items {
        assert_ne!(Value::of(&root.get(&item.name).await), Value::Redacted);
        if item.name != "original" {
            root.delete(&item.name).await;
        }
    }
    site.unharmed().await;
}

#[tokio::test]
async fn messages_that_cannot_be_decoded_are_invalid() {
    let site = Site::open().await;
    let nested_groups = [0xc3, 0x3e].repeat(50_000);
    let undecodable: [(&str, &[u8]); 12] = [
        ("an endless varint as a tag", &[0xff; 16]),
        ("invalid UTF-8 in name", &[0x12, 2, 0xff, 0xfe]),
        ("overlong UTF-8 in name", &[0x12, 2, 0xc0, 0x80]),
        ("a surrogate in namespace", &[0x0a, 3, 0xed, 0xa0, 0x80]),
        ("name as a varint", &[0x10, 1]),
        ("name as 64 bits", &[0x11, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("a length behind the end", &[0x12, 100, b'A']),
        ("a length of 2^63", &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, b'A']),
        ("a tag and nothing behind it", &[0x12]),
        ("field number 0", &[0x02, 0]),
        ("an unknown wire type", &[0x17, 0]),
        ("groups in groups", &nested_groups),
    ];
    for (what, message) in undecodable {
        for rpc in
            ["CreateSecret", "GetSecret", "ListSecrets", "UpdateSecret", "DeleteSecret", "RotateSecret"]
        {
            // In ListSecrets, field 2 is `limit`, a varint: some of these are valid there.
            if rpc == "ListSecrets" && what.contains("varint") && message.len() == 2 {
                continue;
            }
            let rpc = format!("/strongroom.v1.SecretService/{rpc}");
            let reply = site.wire.call(&rpc, message).await;
            let status = reply.map(drop).expect_err(what);
            let answer = (status.code(), reason_of(&status));
            assert_eq!(
                answer,
                (Code::InvalidArgument, "VALIDATION_FAILED".into()),
                "{rpc}, {what}: {status:?}"
            );
        }
    }
    for rpc in rpcs() {
        refused(site.wire.call(&rpc, &[0xff; 16]).await, Code::InvalidArgument, "VALIDATION_FAILED");
    }
    site.unharmed().await;
}

#[tokio::test]
async fn frames_that_end_too_early_are_invalid() {
    let site = Site::open().await;
    let whole = framed(&create("truncated", "v").encode_to_vec());
    for end in 0..whole.len() {
        for rpc in [CREATE, "/strongroom.v1.SecretService/DeleteSecret"] {
            refused(
                site.wire.send(rpc, whole[..end].to_vec()).await,
                Code::InvalidArgument,
                "VALIDATION_FAILED",
            );
        }
    }
    site.unharmed().await;
}

#[tokio::test]
async fn frames_with_a_wrong_length_are_refused() {
    let site = Site::open().await;
    let message = create("mismeasured", "v").encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    for longer in [length + 1, length + 1000, u32::try_from(LIMIT).unwrap()] {
        let reply = site.wire.send(CREATE, frame(0, longer, &message)).await;
        refused(reply, Code::InvalidArgument, "VALIDATION_FAILED");
    }
    // A byte behind the message begins a second message, which a unary call does not have; the first one may count.
    let _ = site.wire.send("/strongroom.v1.SecretService/GetSecret", frame(0, length - 1, &message)).await;
    site.unharmed().await;
}

#[tokio::test]
async fn a_frame_that_says_it_is_compressed_is_refused() {
    let site = Site::open().await;
    let message = create("compressed", "v").encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    for flag in [1, 2, 255] {
        for wire in [site.wire.clone(), site.wire.header("grpc-encoding", "identity")] {
            let status =
                wire.send(CREATE, frame(flag, length, &message)).await.map(drop).expect_err("refused");
            reason_of(&status);
        }
    }
    for encoding in ["gzip", "zstd", "nonsense"] {
        let wire = site.wire.header("grpc-encoding", encoding);
        let status = wire.send(CREATE, frame(1, length, &message)).await.map(drop).expect_err("refused");
        assert_eq!(status.code(), Code::Unimplemented, "the gRPC specification asks for it: {status:?}");
        reason_of(&status);
    }
    site.unharmed().await;
}

#[tokio::test]
async fn a_message_over_1_mib_is_too_large_and_one_of_1_mib_is_not() {
    let site = Site::open().await;
    let padded = |name: &str, size: usize| {
        let mut message = create(name, "v").encode_to_vec();
        // An unknown field takes the rest: its tag, three bytes of length, and so many bytes.
        let rest = size - message.len() - 4;
        message.push(0x7a);
        prost::encoding::encode_varint(rest as u64, &mut message);
        message.resize(size, 0x5a);
        message
    };
    let root = Caller::root(&site.server).await;
    refused(
        site.wire.call(CREATE, &padded("larger", LIMIT + 1)).await,
        Code::ResourceExhausted,
        "MESSAGE_TOO_LARGE",
    );
    refused(
        site.wire.call(CREATE, &padded("huge", 5 * LIMIT)).await,
        Code::ResourceExhausted,
        "MESSAGE_TOO_LARGE",
    );
    assert_eq!(root.names().await, ["original"]);
    site.wire.call(CREATE, &padded("largest", LIMIT)).await.unwrap();
    assert_eq!(root.value("largest").await, Value::text("v"));
    root.delete("largest").await;
    site.unharmed().await;
}

#[tokio::test]
async fn a_frame_that_claims_4_gib_is_too_large_for_every_rpc() {
    let site = Site::open().await;
    for rpc in rpcs() {
        for claimed in [u32::try_from(LIMIT).unwrap() + 1, i32::MAX as u32, u32::MAX] {
            let reply = site.wire.send(&rpc, frame(0, claimed, b"abc")).await;
            refused(reply, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        }
    }
    site.unharmed().await;
}

/// Anyone may call these, so they take short messages only.
#[tokio::test]
async fn a_message_over_4_kib_to_health_or_reflection_is_too_large_and_one_of_4_kib_is_not() {
    const LIMIT: usize = 4096;
    let site = Site::open().await;
    let wire = Wire::to(&site.server).await;
    // A message of so many bytes that is one text: its tag, two bytes of length, and the text.
    let message = |tag: u8, size: usize| {
        let mut message = vec![tag];
        prost::encoding::encode_varint(size as u64 - 3, &mut message);
        message.resize(size, b'a');
        message
    };
    let (health, service) = ("/grpc.health.v1.Health/Check", 0x0a);
    refusal_code(wire.call(health, &message(service, LIMIT)).await, Code::NotFound);
    refusal_code(wire.call(health, &message(service, LIMIT + 1)).await, Code::OutOfRange);
    refusal_code(wire.send(health, frame(0, u32::MAX, b"abc")).await, Code::OutOfRange);
    let list_services = 0x3a;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let listed = wire.call(&path, &message(list_services, LIMIT)).await.unwrap().into_inner();
        assert!(!listed.is_empty());
        // The stream ends without an answer.
        let listed = wire.call(&path, &message(list_services, LIMIT + 1)).await.unwrap().into_inner();
        assert!(listed.is_empty());
    }
    site.unharmed().await;
}

#[track_caller]
fn refusal_code(reply: Result<Response<Vec<u8>>, Status>, code: Code) {
    let status = reply.map(drop).expect_err("refused");
    assert_eq!(status.code(), code, "{status:?}");
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let site = Site::open().await;
    let mut message = create("extended", "v").encode_to_vec();
    message.extend([0xc0, 0x3e, 0xff, 0x01]); // field 1000, a varint
    message.extend([0xca, 0x3e, 3, 0xff, 0xfe, 0xfd]); // field 1001, bytes
    message.extend([0xd5, 0x3e, 1, 2, 3, 4]); // field 1002, 32 bits
    message.extend([0xc3, 0x3e, 0x08, 0x01, 0xc4, 0x3e]); // field 1000, a group
    site.wire.call(CREATE, &message).await.unwrap();
    let root = Caller::root(&site.server).await;
    assert_eq!(root.value("extended").await, Value::text("v"));
    root.delete("extended").await;
    site.unharmed().await;
}

#[tokio::test]
async fn unknown_rpcs_are_not_served() {
    let site = Site::open().await;
    for path in [
        "/strongroom.v1.SecretService/Nothing",
        "/strongroom.v1.SecretService/createsecret",
        "/strongroom.v1.SecretService/CreateSecret/",
        "/strongroom.v1.SecretService/",
        "/strongroom.v1.Nothing/CreateSecret",
        "/strongroom.v2.SecretService/CreateSecret",
        "/nothing",
        "/",
        "/../../etc/passwd",
        "/%00",
    ] {
        let reply = site.wire.call(path, &create("misdirected", "v").encode_to_vec()).await;
        let status = reply.map(drop).expect_err(path);
        assert_eq!((status.code(), reason_of(&status)), (Code::Unimplemented, "NOT_SERVED".into()), "{path}");
    }
    site.unharmed().await;
}

#[tokio::test]
async fn a_mask_of_half_a_million_paths_gets_a_short_refusal() {
    let site = Site::open().await;
    let paths = vec![String::new(); 500_000];
    let request = strongroom::api::v1::UpdateSecretRequest {
        name: "A".into(),
        update_mask: Some(prost_types::FieldMask { paths }),
        ..Default::default()
    };
    let path = "/strongroom.v1.SecretService/UpdateSecret";
    let status = site.wire.call(path, &request.encode_to_vec()).await.map(drop).expect_err("no such fields");
    assert_eq!((status.code(), reason_of(&status)), (Code::InvalidArgument, "VALIDATION_FAILED".into()));
    assert!(status.details().len() < 2000, "{} bytes of details", status.details().len());
    site.unharmed().await;
}

/// A server with one secret, which must be there and unchanged at the end.
struct Site {
    server: Server,
    wire: Wire,
}

impl Site {
    async fn open() -> Self {
        let server = Server::alone();
        Caller::root(&server).await.create("original", "untouched").await;
        Self { wire: Wire::as_root(&server).await, server }
    }

    async fn unharmed(mut self) {
        self.server.assert_alive();
        let root = Caller::root(&self.server).await;
        let original = root.get("original").await;
        assert_eq!((Value::of(&original), original.version), (Value::text("untouched"), 1));
        assert_eq!(root.names().await, ["original"], "a request made a secret");
        // Other callers are served as before.
        let room = Room::on(&self.server).await;
        room.create("A", "v").await;
        let output = self.server.stop().await;
        assert!(!output.all().contains("panicked"));
    }
}

/// Asserts that an answer is a reply or a refusal, in the form of all refusals and for a reason that lies in the request: no
/// defect of the server.
#[track_caller]
fn answered_in_form(reply: Result<Response<Vec<u8>>, Status>, rpc: &str) {
    if let Err(status) = reply {
        let reason = reason_of(&status);
        let blames_the_request = matches!(
            status.code(),
            Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::Aborted
                | Code::Unimplemented
                | Code::FailedPrecondition
        );
        assert!(blames_the_request, "{rpc} answers {reason}: {status:?}");
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    fn alter(&mut self, message: &mut Vec<u8>) {
        let at = self.below(message.len() + 1);
        let byte = self.next().to_le_bytes()[0];
        match self.below(4) {
            0 if at < message.len() => message[at] ^= 1 << (byte % 8),
            1 if at < message.len() => drop(message.remove(at)),
            2 => message.truncate(at),
            _ => message.insert(at, byte),
        }
    }
}
