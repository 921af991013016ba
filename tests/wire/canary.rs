//! Values, descriptions, metadata and names of secrets do not leak into refusals, logs, traces, metrics, the data folder, a backup, etcd or
//! (values) the server's memory. That holds for served requests and for requests refused in every way.

mod rows;
mod settings;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use memchr::memmem;
use strongroom::api::v1::{CreateApiKeyRequest, GetSecretRequest, RevokeApiKeyRequest};
use tonic::Status;

use self::rows::{Canaries, NAMESPACE, rows};
use crate::backup::{backup, restore};
use crate::caller::{Caller, secret};
#[cfg(feature = "etcd")]
use crate::etcd_server;
use crate::harness::{Launch, Server};
use crate::memory::Memory;
use crate::metrics::{measured, page};
use crate::raw::{Wire, frame, rpcs};
use crate::refusal::reason_of;
use crate::requests::get;
use crate::traces::collector::{Collector, Manner};

/// Refusals that name their secret. The name has passed validation.
const NAMES_IT: [&str; 9] = [
    "SECRET_NOT_FOUND",
    "SECRET_ALREADY_EXISTS",
    "VERSION_NOT_FOUND",
    "VERSION_DISABLED",
    "ROTATION_PENDING",
    "SECRET_EXPIRED",
    "VERSION_PENDING",
    "VERSION_DESTROYED",
    "REFERENCE_INVALID",
];

#[tokio::test]
async fn no_canary_leaks_with_the_store_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(Manner::Takes);
    let server = Launch::durable(folder.path())
        .argument("--log-level")
        .argument("trace")
        .argument("--otlp-endpoint")
        .argument(collector.url());
    let server = measured(server).start();
    let (canaries, mut search) = exercise(&server).await;
    let root_key = server.root_key.clone();
    let log = server.stop().await.all();
    assert!(!log.contains(&root_key), "the log has the root key");
    search.log(&log, &canaries);
    let requests = collector.requests().len();
    assert!(requests > 100, "only {requests} requests were traced");
    search.none_in("traces", &collector.bytes(), &[canaries.all(), vec![&root_key]].concat());
    // The server writes nothing more now.
    search.folder("the audit log", &folder.path().join("audit"), &canaries.nameless());
    fs::remove_dir_all(folder.path().join("audit")).unwrap();
    search.folder("the data folder", folder.path(), &canaries.all());
    search.report();
}

#[cfg(feature = "etcd")]
#[tokio::test]
async fn no_canary_leaks_with_the_store_in_etcd() {
    let Some(etcd) = etcd_server::shared() else { return };
    let prefix = uuid::Uuid::new_v4().to_string();
    let server = Launch::in_etcd(&etcd.url(), &prefix).argument("--log-level").argument("trace");
    let server = measured(server).start();
    let (canaries, mut search) = exercise(&server).await;
    let mut client = etcd_client::Client::connect([etcd.url()], None).await.unwrap();
    let all = etcd_client::GetOptions::new().with_prefix();
    let stored = client.get(prefix.as_str(), Some(all)).await.unwrap();
    assert!(stored.kvs().len() > 10, "etcd holds too few records for this search");
    for pair in stored.kvs() {
        search.none_in("etcd", &[pair.key(), pair.value()].concat(), &canaries.all());
    }
    let root_key = server.root_key.clone();
    let log = server.stop().await.all();
    assert!(!log.contains(&root_key), "the log has the root key");
    search.log(&log, &canaries);
    search.report();
}

/// Calls every RPC with canaries in its requests, so that it is served and refused in every way. Searches the replies, a
/// backup and the server's memory.
async fn exercise(server: &Server) -> (Canaries, Search) {
    let canaries = Canaries::new();
    let mut search = Search::default();
    let root = Caller::root(server).await;
    let key = CreateApiKeyRequest {
        name: "a stranger".into(),
        home_namespace: "elsewhere".into(),
        ..Default::default()
    };
    let made = root.access().create_api_key(key).await.unwrap().into_inner();
    let (stranger, id) = (made.credential, made.api_key.unwrap().id);
    let wire = Wire::as_root(server).await;
    let strange = Wire::to(server).await.bearer(&stranger);
    let nobody = Wire::to(server).await.bearer(&canaries.unfit);
    let neither = Wire::to(server).await.header("x-api-key", canaries.unfit.as_str());

    let mut exercised = BTreeSet::new();
    for row in rows(&canaries) {
        let path = format!("/strongroom.v1.{}", row.rpc);
        let first = row.requests[0].1.clone();
        for (reason, message) in row.requests {
            let reply = wire.call(&path, &message).await.map(drop);
            search.refusal(&path, reason, reply, &canaries);
        }
        // These requests are refused before their message is read, or because it cannot be read.
        let denied = match row.rpc {
            "AccessService/WhoAmI" => "",
            // It is told which of the namespaces it may list: none of these.
            "SecretService/ListNamespaces" => "",
            // A claim on nothing is asked for in the caller's own namespace.
            "SecretService/ReleaseRotation" => "CLAIM_LOST",
            _ => "ACCESS_DENIED",
        };
        search.refusal(&path, denied, strange.call(&path, &first).await.map(drop), &canaries);
        for stranger in [&nobody, &neither] {
            search.refusal(
                &path,
                "CREDENTIAL_INVALID",
                stranger.call(&path, &first).await.map(drop),
                &canaries,
            );
        }
        let broken = [first.as_slice(), &[0xff; 16]].concat();
        let length = u32::try_from(first.len() + 16).unwrap();
        let compressed = frame(1, length - 16, &first);
        for body in [frame(0, length - 16, &broken), frame(0, length, &first), compressed, broken.clone()] {
            let refused = wire.send(&path, body).await.err();
            search.said(refused, &canaries);
        }
        search.said(wire.call(&path, &broken).await.err(), &canaries);
        exercised.insert(path);
    }
    let unknown = format!("/strongroom.v1.SecretService/{}", canaries.unfit);
    search.said(wire.call(&unknown, canaries.value.as_bytes()).await.err(), &canaries);
    assert_eq!(exercised, rpcs().into_iter().collect(), "every RPC needs a row in canary/rows.rs");
    search.rpcs = exercised.len();

    let (bytes, _) = backup(&root).await.unwrap();
    search.none_in("a backup", &bytes, &canaries.all());
    // The request is served, so there is no refusal to search.
    restore(&root, &bytes, true).await.unwrap();
    root.access().revoke_api_key(RevokeApiKeyRequest { id }).await.unwrap();
    let page = page(&server.metrics_address()).await;
    assert!(page.contains("strongroom_requests_total"), "{page}");
    search.none_in("the metrics", page.as_bytes(), &canaries.all());
    drop((root, wire, strange, nobody, neither)); // while a connection is open, its buffers hold recent bytes
    if let Some(memory) = Memory::of(server.process()) {
        // The catalog holds everything except values.
        search.bytes += memory.has_none_of(&[canaries.value.as_bytes()], "all of that").await;
        search.places.insert("the server's memory");
    }
    let root = Caller::root(server).await;
    let request = GetSecretRequest { namespace: NAMESPACE.into(), ..get(&canaries.name) };
    let held = secret(root.secrets().get_secret(request).await.unwrap().into_inner().secret);
    assert!(held.description == canaries.description && held.metadata.contains_key(&canaries.metadata_key));
    (canaries, search)
}

impl Canaries {
    /// Texts that may stand only in replies to authorized callers.
    fn all(&self) -> Vec<&str> {
        [self.nameless(), vec![&self.name, &self.other_name, &self.key_name]].concat()
    }

    /// The same texts without the names that passed validation.
    fn nameless(&self) -> Vec<&str> {
        vec![&self.value, &self.description, &self.metadata_key, &self.metadata_value, &self.unfit]
    }
}

/// What was searched without finding a canary.
#[derive(Default)]
struct Search {
    rpcs: usize,
    requests: usize,
    refusals: usize,
    bytes: usize,
    places: BTreeSet<&'static str>,
}

impl Search {
    #[track_caller]
    fn refusal(&mut self, path: &str, reason: &str, reply: Result<(), Status>, canaries: &Canaries) {
        let given = reply.as_ref().err().map(reason_of).unwrap_or_default();
        assert_eq!(given, reason, "{path}: {reply:?}");
        self.said(reply.err(), canaries);
    }

    #[track_caller]
    fn said(&mut self, refused: Option<Status>, canaries: &Canaries) {
        self.requests += 1;
        let Some(status) = refused else { return };
        self.refusals += 1;
        let names_it = status.details().is_empty() || NAMES_IT.contains(&&*reason_of(&status));
        let unwanted = if names_it { canaries.nameless() } else { canaries.all() };
        let said =
            [status.message().as_bytes(), status.details(), format!("{:?}", status.metadata()).as_bytes()]
                .concat();
        self.none_in("refusals", &said, &unwanted);
    }

    /// Audit records name secrets and API keys, by names that passed validation. Other records name none.
    fn log(&mut self, log: &str, canaries: &Canaries) {
        let (audit, other): (Vec<_>, Vec<_>) =
            log.lines().partition(|line| line.contains("strongroom::audit"));
        assert!(audit.iter().any(|line| line.contains(&canaries.name)), "the audit does not name the secret");
        assert!(other.len() > 1, "nothing but audit records was logged, so the log proves little");
        for (place, lines, unwanted) in
            [("audit records", audit, canaries.nameless()), ("the rest of the log", other, canaries.all())]
        {
            self.none_in(place, lines.join("\n").as_bytes(), &unwanted);
        }
    }

    fn folder(&mut self, place: &'static str, folder: &Path, unwanted: &[&str]) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            self.none_in(place, path.to_str().unwrap().as_bytes(), unwanted);
            if path.is_dir() {
                self.folder(place, &path, unwanted);
            } else {
                self.none_in(place, &fs::read(&path).unwrap(), unwanted);
            }
        }
    }

    /// Asserts that the bytes contain none of these texts, neither as it is nor in an encoding.
    #[track_caller]
    fn none_in(&mut self, place: &'static str, bytes: &[u8], unwanted: &[&str]) {
        for canary in unwanted {
            for (form, encoded) in forms(canary) {
                let found = memmem::find(bytes, &encoded);
                assert!(
                    found.is_none(),
                    "{place} shows {canary} ({form}): {}",
                    String::from_utf8_lossy(bytes)
                );
            }
        }
        self.bytes += bytes.len();
        self.places.insert(place);
    }

    #[allow(clippy::print_stdout)] // figures for people to quote
    fn report(&self) {
        let forms = forms("canary").len();
        let said = format!(
            "canaries: {} requests ({} refused) to {} RPCs; {} bytes searched in {forms} forms, in {}\n",
            self.requests,
            self.refusals,
            self.rpcs,
            self.bytes,
            self.places.iter().copied().collect::<Vec<_>>().join(", ")
        );
        // Written past the test harness, so that a passing run reports its figures too.
        let _ = std::io::stderr().write_all(said.as_bytes());
        assert!(self.refusals > 100 && self.places.len() >= 5, "too little was searched");
    }
}

/// A canary in the encodings of logs, details, files and protocols.
fn forms(canary: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = canary.as_bytes();
    let listed = format!("{bytes:?}");
    let wide = |order: fn(u16) -> [u8; 2]| canary.encode_utf16().flat_map(order).collect();
    let mut forms = vec![
        ("plain", bytes.to_vec()),
        ("hex", data_encoding::HEXLOWER.encode(bytes).into()),
        ("HEX", data_encoding::HEXUPPER.encode(bytes).into()),
        ("numbers", listed[1..listed.len() - 1].into()),
        ("UTF-16 LE", wide(u16::to_le_bytes)),
        ("UTF-16 BE", wide(u16::to_be_bytes)),
        ("backwards", bytes.iter().rev().copied().collect()),
    ];
    // In base64 a canary can begin at any byte of a group of three. The groups at its ends also hold other bytes, so they are
    // left out.
    for skip in 0..3 {
        let whole = &bytes[skip..skip + (bytes.len() - skip) / 3 * 3];
        forms.push(("base64", data_encoding::BASE64_NOPAD.encode(whole).into()));
        forms.push(("base64url", data_encoding::BASE64URL_NOPAD.encode(whole).into()));
    }
    forms
}

#[test]
fn each_encoding_of_a_canary_is_found() {
    for (form, encoded) in forms("cAnArY_xyz") {
        let planted = [b"around ", encoded.as_slice(), b" it"].concat();
        let searched =
            std::panic::catch_unwind(|| Search::default().none_in("a test", &planted, &["cAnArY_xyz"]));
        assert!(searched.is_err(), "{form} is not found");
    }
    let inside = data_encoding::BASE64.encode(b"12 cAnArY_xyz 34");
    assert!(
        std::panic::catch_unwind(|| Search::default().none_in("a test", inside.as_bytes(), &["cAnArY_xyz"]))
            .is_err()
    );
}
