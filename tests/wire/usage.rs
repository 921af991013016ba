//! Usage: who read which version, which secrets nobody reads, and when a key was last used. A use is stored within a minute, and when
//! the server stops. So most of these tests stop it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use strongroom::api::v1::{
    ApiKey, BatchGetSecretsRequest, CreateSecretRequest, GetSecretRequest, ListApiKeysRequest,
    ListSecretsRequest, ResolveReferencesRequest, RotationPolicy, SecretVersion, VersionState, View,
};
use tokio::time::timeout;
use tonic::Code;

use crate::backup::{backup, restore};
#[cfg(feature = "etcd")]
use crate::caller::Credential;
use crate::caller::{Caller, Room, names};
#[cfg(feature = "etcd")]
use crate::etcd_server;
use crate::harness::{Launch, PATIENCE, Server};
use crate::moved_clock::MovedClock;
use crate::refusal::{invalid, refused};
use crate::requests::{Value, create, get, list};

const YEAR: i64 = 365 * 24 * 60 * 60;

#[tokio::test]
async fn a_read_is_known_after_a_restart_with_its_reader() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let (key, reader) = root.make_key("a reader", "default").await;
    root.create("A", "one").await;
    root.rotate("A", "two").await;
    root.create("in_a_document", "value").await;
    let before = minute();
    root.version("A", 1).await;
    reader.value("A").await;
    resolve(&reader, "$ secrets.in_a_document").await;

    let (_server, root) = restarted(server, folder.path()).await;
    let [second, first] = versions(&root, "A").await;
    for (version, principal) in [(&second, format!("key:{}", key.id)), (&first, me(&root).await)] {
        let readers: Vec<_> = version.consumers.iter().map(|consumer| &*consumer.principal).collect();
        assert_eq!(readers, [principal]);
        assert_eq!(version.consumers[0].last_read_at, version.last_read_at);
        let at = version.last_read_at.as_ref().unwrap();
        assert!(at.seconds % 60 == 0 && at.nanos == 0 && (before..=minute()).contains(&at.seconds));
    }
    let [read] = versions(&root, "in_a_document").await;
    assert_eq!(read.consumers[0].principal, format!("key:{}", key.id));
    let used = api_keys(&root).await.into_iter().find(|listed| listed.id == key.id).unwrap();
    assert!((before..=minute()).contains(&used.last_used_at.unwrap().seconds));
}

/// Waits until something is so, for longer than uses wait until they are stored.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let look = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(200)).await; // a pause of the look, not a time that is counted on
        }
    };
    timeout(3 * PATIENCE, look).await.unwrap_or_else(|_| panic!("{what} in time"));
}

async fn read_batch(caller: &Caller, view: View, names: &[&str]) {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    let request = BatchGetSecretsRequest { names, view: view.into(), ..Default::default() };
    caller.secrets().batch_get_secrets(request).await.unwrap();
}

/// Whose reads of a version are known.
fn readers(version: &SecretVersion) -> BTreeSet<String> {
    version.consumers.iter().map(|consumer| consumer.principal.clone()).collect()
}

#[tokio::test]
async fn a_read_is_known_while_the_server_runs() {
    let room = Room::open().await;
    let (key, batch_reader) = room.root.make_key("reads batches", &room.namespace).await;
    for name in ["A", "B", "described", "unread"] {
        room.create(name, "value").await;
    }
    let before = minute();
    room.value("A").await;
    read_batch(&batch_reader, View::Full, &["B", "A", "missing"]).await;
    read_batch(&batch_reader, View::Metadata, &["described"]).await;
    let (own, of_batch) = (format!("key:{}", room.key.id), format!("key:{}", key.id));
    let expected = [("A", BTreeSet::from([own, of_batch.clone()])), ("B", BTreeSet::from([of_batch]))];
    for (name, expected) in &expected {
        until("the reads are stored", async || {
            let [version] = versions(&room, name).await;
            readers(&version) == *expected
        })
        .await;
        let [version] = versions(&room, name).await;
        assert!((before..=minute()).contains(&version.last_read_at.unwrap().seconds));
    }
    // What was stored with them says that nobody has read these.
    for name in ["described", "unread"] {
        let [version] = versions(&room, name).await;
        assert_eq!((version.last_read_at, version.consumers.len()), (None, 0), "{name}");
    }
}

/// A policy by which the former version ends once nobody uses it.
fn retiring() -> RotationPolicy {
    let grace_period = Some(prost_types::Duration { seconds: 24 * 60 * 60, nanos: 0 });
    RotationPolicy { grace_period, retire_when_unread: true, ..Default::default() }
}

/// The clock is moved, so nobody waits for the minutes after a rotation in which a use may not be stored yet.
#[tokio::test]
async fn a_former_version_is_disabled_once_each_of_its_readers_has_read_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let Some(clock) = MovedClock::new(folder.path()) else { return };
    let server = clock.of(Launch::in_memory()).start();
    let root = Caller::root(&server).await;
    let (key, other) = root.make_key("another reader", "default").await;
    for name in ["moved_on", "still_used"] {
        let request = CreateSecretRequest { rotation_policy: Some(retiring()), ..create(name, "one") };
        root.create_with(request).await;
    }
    let both = ["moved_on", "still_used"];
    for caller in [&root, &other] {
        read_batch(caller, View::Full, &both).await;
    }
    let all = BTreeSet::from([me(&root).await, format!("key:{}", key.id)]);
    for name in both {
        root.rotate(name, "two").await;
        assert_eq!(root.version(name, 2).await, Value::text("two"));
    }
    clock.set("+600");
    root.value("moved_on").await;
    other.value("moved_on").await;
    root.value("still_used").await;
    other.version("still_used", 1).await;
    let state_of_first = async |name: &str| versions::<2>(&root, name).await[1].state();
    until("the version is disabled", async || state_of_first("moved_on").await == VersionState::Disabled)
        .await;
    assert!(server.logged().contains("scheduler/RetireVersions"), "the server did it by itself");
    let [_, first] = versions(&root, "moved_on").await;
    assert_eq!((first.retires_at, readers(&first)), (None, all));
    assert_eq!(state_of_first("still_used").await, VersionState::Enabled);
    assert_eq!(root.version("still_used", 1).await, Value::text("one"));
    server.stop().await;
}

#[tokio::test]
async fn no_refused_read_and_no_look_at_metadata_is_a_use() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let (unused, _) = root.make_key("never used", "default").await;
    let (_, stranger) = root.make_key("a stranger", "elsewhere").await;
    for name in ["A", "disabled"] {
        root.create(name, "value").await;
    }
    root.disable("disabled", 1).await;
    refused(root.secrets().get_secret(get("disabled")).await, Code::FailedPrecondition, "VERSION_DISABLED");
    let foreign = GetSecretRequest { namespace: "default".into(), ..get("A") };
    refused(stranger.secrets().get_secret(foreign).await, Code::PermissionDenied, "ACCESS_DENIED");
    let described = GetSecretRequest { view: View::Metadata.into(), ..get("A") };
    root.secrets().get_secret(described).await.unwrap();
    root.references().resolve_references(document("$ secrets.A + secrets.missing")).await.unwrap_err();

    let (_server, root) = restarted(server, folder.path()).await;
    for name in ["A", "disabled"] {
        let [version] = versions(&root, name).await;
        assert_eq!((version.last_read_at, version.consumers.len()), (None, 0), "{name}");
    }
    let listed = api_keys(&root).await.into_iter().find(|listed| listed.id == unused.id).unwrap();
    assert_eq!(listed.last_used_at, None);
}

#[tokio::test]
async fn unused_secrets_are_listed_counted_and_paged() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let all: Vec<_> = (0..10).map(|n| format!("secret_{n}")).collect();
    let mut created = Timestamp::default();
    for name in &all {
        created = root.create(name, "value").await.created_at.unwrap();
    }
    for name in all.iter().step_by(3) {
        root.value(name).await;
    }
    let (server, root) = restarted(server, folder.path()).await;
    let unused = ["secret_1", "secret_2", "secret_4", "secret_5", "secret_7", "secret_8"];
    let since = |at| ListSecretsRequest { unused_since: Some(at), limit: Some(4), ..list() };
    let in_years = |years| Timestamp { seconds: created.seconds + years * YEAR, nanos: 0 };
    // The microsecond after the last creation, so that all secrets were created before and read after it.
    let nanos = created.nanos + 1000;
    let after = Timestamp {
        seconds: created.seconds + i64::from(nanos / 1_000_000_000),
        nanos: nanos % 1_000_000_000,
    };
    let (now, future) = (since(after), since(in_years(1)));
    let first = root.list(now.clone()).await;
    assert_eq!(
        (names(&first), first.total_size),
        (unused[..4].iter().map(ToString::to_string).collect::<Vec<_>>(), 6)
    );
    let rest = ListSecretsRequest { page_token: first.next_page_token.clone(), ..now.clone() };
    let rest = root.list(rest).await;
    assert_eq!(
        (names(&rest), rest.total_size, &*rest.next_page_token),
        (vec!["secret_7".into(), "secret_8".into()], 6, "")
    );
    assert_eq!(root.list(since(in_years(-1))).await.total_size, 0);
    assert_eq!(root.list(future.clone()).await.total_size, 10);
    let named = ListSecretsRequest { name_prefix: "secret_4".into(), ..now.clone() };
    assert_eq!(root.names_of(named).await, ["secret_4"]);

    // A token belongs to its query.
    let other = ListSecretsRequest { page_token: first.next_page_token, ..future };
    invalid(root.secrets().list_secrets(other).await, &["page_token"]);
    let odd = ListSecretsRequest { unused_since: Some(Timestamp { seconds: i64::MAX, nanos: 0 }), ..list() };
    invalid(root.secrets().list_secrets(odd).await, &["unused_since"]);

    // A read takes a secret from the list, and a change of the secret does not bring it back.
    root.value("secret_4").await;
    let (_server, root) = restarted(server, folder.path()).await;
    root.rotate("secret_4", "next").await;
    let now = ListSecretsRequest { limit: None, ..now };
    let left: Vec<_> = unused.into_iter().filter(|name| *name != "secret_4").collect();
    assert_eq!(root.names_of(now).await, left);
}

#[tokio::test]
async fn usage_goes_with_what_was_used_and_comes_back_with_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    root.create("A", "one").await;
    root.rotate("A", "two").await;
    for number in [1, 2] {
        root.version("A", number).await;
    }
    let (server, root) = restarted(server, folder.path()).await;
    let kept = versions::<2>(&root, "A").await;
    assert!(kept.iter().all(|version| version.consumers.len() == 1));
    let (bytes, _) = backup(&root).await.unwrap();

    root.destroy("A", 1).await;
    let [second, first] = versions(&root, "A").await;
    assert_eq!((first.last_read_at, first.consumers.len(), second.consumers.len()), (None, 0, 1));
    root.delete("A").await;
    root.create("A", "another life").await;
    let [version] = versions(&root, "A").await;
    assert_eq!((version.last_read_at, version.consumers.len()), (None, 0));

    assert_eq!(restore(&root, &bytes, false).await.unwrap().damaged_records, 0);
    assert_eq!(versions(&root, "A").await, kept);
    let (_server, root) = restarted(server, folder.path()).await;
    assert_eq!(versions(&root, "A").await, kept);
}

#[tokio::test]
async fn nothing_of_usage_is_readable_at_rest() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    root.create("a_canary_of_usage", "value").await;
    root.value("a_canary_of_usage").await;
    let reader = me(&root).await;
    server.stop().await;
    let text = reader.trim_start_matches("key:").to_owned();
    for entry in std::fs::read_dir(folder.path().join("store")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            for unwanted in [&text, "a_canary_of_usage"] {
                let found = memchr::memmem::find(&bytes, unwanted.as_bytes());
                assert!(found.is_none(), "{unwanted} is in {}", path.display());
            }
        }
    }
}

#[cfg(feature = "etcd")]
#[tokio::test]
async fn replicas_over_one_etcd_complete_each_others_usage() {
    let Some(etcd) = etcd_server::shared() else { return };
    let prefix = uuid::Uuid::new_v4().to_string();
    let one = Launch::in_etcd(&etcd.url(), &prefix).start();
    let key = one.data_dir.join("master.key").display().to_string();
    let join = || Launch::in_etcd(&etcd.url(), &prefix).argument("--master-key-file").argument(&*key).start();
    let (other, last) = (join(), join());
    let root = Credential::bearer(&one.root_key);
    let mut readers = Vec::new();
    let maker = Caller::new(&one, root.clone()).await;
    maker.create("A", "value").await;
    for server in [&one, &other] {
        let (key, reader) = maker.make_key("a reader", "default").await;
        let reader = reader.at(server).await;
        reader.value("A").await;
        readers.push(format!("key:{}", key.id));
    }
    other.stop().await;
    // The folder of the first server has the master key, which the last one has read already.
    one.stop().await;
    let root = Caller::new(&last, root).await;
    let [version] = versions(&root, "A").await;
    let mut found: Vec<_> = version.consumers.into_iter().map(|consumer| consumer.principal).collect();
    found.sort();
    readers.sort();
    assert_eq!(found, readers);
}

/// Stops a server, which stores the uses, and starts it again.
async fn restarted(server: Server, folder: &Path) -> (Server, Caller) {
    server.stop().await;
    let server = Launch::durable(folder).start();
    let root = Caller::root(&server).await;
    (server, root)
}

async fn versions<const N: usize>(caller: &Caller, name: &str) -> [SecretVersion; N] {
    caller.versions(name).await.try_into().expect("as many versions as expected")
}

async fn api_keys(caller: &Caller) -> Vec<ApiKey> {
    caller.access().list_api_keys(ListApiKeysRequest::default()).await.unwrap().into_inner().items
}

async fn me(caller: &Caller) -> String {
    let root = api_keys(caller).await.into_iter().find(|key| key.root).unwrap();
    format!("key:{}", root.id)
}

fn document(expression: &str) -> ResolveReferencesRequest {
    let value = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(expression.into())) };
    let fields = [("value".to_owned(), value)].into();
    ResolveReferencesRequest { document: Some(prost_types::Struct { fields }), ..Default::default() }
}

async fn resolve(caller: &Caller, expression: &str) {
    caller.references().resolve_references(document(expression)).await.unwrap();
}

fn seconds() -> i64 {
    Timestamp::from(SystemTime::now()).seconds
}

/// The beginning of the present minute, in seconds.
fn minute() -> i64 {
    seconds().div_euclid(60) * 60
}
