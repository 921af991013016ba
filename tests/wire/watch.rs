//! Watches: what is told of each change, in which order, and to whom.

mod comings;
mod ends;
mod history;
mod kills;
mod snapshot;

use std::collections::BTreeMap;

use strongroom::api::v1::watch_secrets_response::Step;
use strongroom::api::v1::{
    CreateBindingRequest, CreateSecretRequest, DeleteBindingRequest, RevokeApiKeyRequest, SecretEvent,
    SecretEventType, UpdateSecretRequest, WatchAuditRecordsRequest, WatchBookmark, WatchSecretsRequest,
    WatchSecretsResponse,
};
use tokio::time::timeout;
use tonic::{Code, Response, Status, Streaming};

use crate::caller::{Caller, Credential, Room};
use crate::etcd_server;
use crate::harness::{Launch, PATIENCE, Server};
use crate::refusal::{denied, invalid, reason_of};
use crate::requests::{Value, create, describe, pairs, rename, update};

/// A watch that a test reads.
struct Watching {
    steps: Streaming<WatchSecretsResponse>,
    /// The revision with which it continues after what was read.
    resume: u64,
}

impl Watching {
    async fn begin(caller: &Caller, request: WatchSecretsRequest) -> Result<Self, Status> {
        let resume = request.after_revision;
        Ok(Self { steps: caller.secrets().watch_secrets(request).await?.into_inner(), resume })
    }

    /// A watch that has told all that there was when it began. Returns the events until then, too.
    async fn synced(caller: &Caller, request: WatchSecretsRequest) -> (Self, Vec<SecretEvent>) {
        let mut watching = Self::begin(caller, request).await.unwrap();
        let events = watching.until_synced().await;
        (watching, events)
    }

    async fn step(&mut self) -> Result<Step, Status> {
        let step = timeout(PATIENCE, self.steps.message()).await.expect("a step in time");
        let step = step?.expect("the watch goes on").step.expect("a step says what it is");
        match &step {
            Step::Event(event) => self.resume = event.resume_revision,
            Step::Bookmark(bookmark) => self.resume = bookmark.revision,
        }
        Ok(step)
    }

    /// The next event, after any bookmarks.
    async fn event(&mut self) -> SecretEvent {
        let next = async {
            loop {
                if let Step::Event(event) = self.step().await.unwrap() {
                    return event;
                }
            }
        };
        let event = timeout(PATIENCE, next).await.expect("an event in time");
        assert_eq!(Value::of(event.secret.as_ref().unwrap()), Value::Redacted);
        event
    }

    /// The next event: its type, the name of its secret, and the former name.
    async fn told(&mut self) -> (SecretEventType, String, Option<String>) {
        summary(&self.event().await)
    }

    /// The events up to the next bookmark with `synced`.
    async fn until_synced(&mut self) -> Vec<SecretEvent> {
        let mut events = Vec::new();
        loop {
            match self.step().await.unwrap() {
                Step::Event(event) => events.push(event),
                Step::Bookmark(WatchBookmark { synced: true, .. }) => return events,
                Step::Bookmark(WatchBookmark { synced: false, .. }) => {}
            }
        }
    }

    /// The error that ends it, after any events.
    async fn ended(mut self) -> Status {
        let end = async {
            loop {
                if let Err(status) = self.step().await {
                    return status;
                }
            }
        };
        timeout(PATIENCE, end).await.expect("the watch ends in time")
    }
}

fn summary(event: &SecretEvent) -> (SecretEventType, String, Option<String>) {
    (event.r#type(), event.secret.as_ref().unwrap().name.clone(), event.former_name.clone())
}

fn told(kind: SecretEventType, name: &str) -> (SecretEventType, String, Option<String>) {
    (kind, name.to_owned(), None)
}

fn watch() -> WatchSecretsRequest {
    WatchSecretsRequest::default()
}

fn after(revision: u64) -> WatchSecretsRequest {
    WatchSecretsRequest { after_revision: revision, ..watch() }
}

#[tokio::test]
async fn each_change_is_told_once_with_its_type_and_its_revision() {
    use SecretEventType as Is;
    let room = Room::open().await;
    let (mut live, _) = Watching::synced(&room, watch()).await;
    let begun = live.resume;
    let created = room.create("a", "v").await;
    room.create("b", "v").await;
    room.update(describe("a", "what for")).await;
    room.update(rename("a", "c")).await;
    room.rotate("c", "w").await;
    room.update(UpdateSecretRequest { value: Value::text("x").sent(), ..update("c") }).await;
    room.disable("c", 1).await;
    room.disable("c", 1).await; // changes nothing
    room.enable("c", 1).await;
    room.destroy("c", 1).await;
    let last = room.update(UpdateSecretRequest { metadata: pairs(&[("k", "v")]), ..update("c") }).await;
    room.delete("b").await;

    let mut events = Vec::new();
    for _ in 0..11 {
        events.push(live.event().await);
    }
    let expected = [
        told(Is::Created, "a"),
        told(Is::Created, "b"),
        told(Is::Updated, "a"),
        (Is::Renamed, "c".to_owned(), Some("a".to_owned())),
        told(Is::Rotated, "c"),
        told(Is::Rotated, "c"),
        told(Is::VersionChanged, "c"),
        told(Is::VersionChanged, "c"),
        told(Is::VersionChanged, "c"),
        told(Is::Updated, "c"),
        told(Is::Deleted, "b"),
    ];
    assert_eq!(events.iter().map(summary).collect::<Vec<_>>(), expected);
    assert!(events.is_sorted_by(|one, next| one.revision < next.revision));
    for event in &events {
        let secret = event.secret.as_ref().unwrap();
        assert_eq!((event.resume_revision, secret.revision), (event.revision, event.revision));
        assert_eq!(secret.namespace, room.namespace);
        assert!(event.occurred_at.is_some());
    }
    let secret = |nth: usize| events[nth].secret.clone().unwrap();
    assert_eq!(secret(0), created);
    assert_eq!((secret(2).description.as_str(), secret(4).version, secret(5).version), ("what for", 2, 3));
    assert_eq!(secret(9), last);

    // A watch that comes back is told the same, from each event on.
    for nth in 0..events.len() {
        let from = nth.checked_sub(1).map_or(begun, |before| events[before].resume_revision);
        let (_, again) = Watching::synced(&room, after(from)).await;
        assert_eq!(again, events[nth..]);
    }
    let (mut back, none) = Watching::synced(&room, after(events[10].revision)).await;
    assert_eq!(none, []);
    room.create("d", "v").await;
    assert_eq!(back.told().await, told(Is::Created, "d"));
    assert_eq!(live.told().await, told(Is::Created, "d"));
}

#[tokio::test]
async fn a_filter_tells_what_matches_and_what_no_longer_does() {
    use SecretEventType as Is;
    let room = Room::open().await;
    room.create("other", "v").await;
    let by_name = WatchSecretsRequest { name_prefix: "db_".into(), ..watch() };
    let by_pairs = WatchSecretsRequest { metadata: pairs(&[("env", "prod"), ("tier", "1")]), ..watch() };
    let (mut names, _) = Watching::synced(&room, by_name.clone()).await;
    let (mut metadata, _) = Watching::synced(&room, by_pairs.clone()).await;
    let begun = names.resume.min(metadata.resume);
    let set =
        |name: &str, given: BTreeMap<String, String>| UpdateSecretRequest { metadata: given, ..update(name) };

    let both = pairs(&[("env", "prod"), ("tier", "1"), ("owner", "x")]);
    room.create_with(CreateSecretRequest { metadata: both.clone(), ..create("db_a", "v") }).await;
    room.rotate("other", "w").await;
    room.update(rename("db_a", "a")).await; // leaves the names
    room.rotate("a", "w").await;
    room.update(set("a", pairs(&[("env", "prod"), ("tier", "2")]))).await; // leaves the metadata
    room.rotate("a", "w").await;
    room.update(set("a", both)).await; // and comes back
    room.update(rename("a", "db_b")).await;
    room.delete("db_b").await;

    let of_names = [
        told(Is::Created, "db_a"),
        told(Is::Removed, "db_a"),
        (Is::Renamed, "db_b".to_owned(), Some("a".to_owned())),
        told(Is::Deleted, "db_b"),
    ];
    let of_metadata = [
        told(Is::Created, "db_a"),
        (Is::Renamed, "a".to_owned(), Some("db_a".to_owned())),
        told(Is::Rotated, "a"),
        told(Is::Removed, "a"),
        told(Is::Updated, "a"),
        (Is::Renamed, "db_b".to_owned(), Some("a".to_owned())),
        told(Is::Deleted, "db_b"),
    ];
    for (watching, expected) in [(&mut names, &of_names[..]), (&mut metadata, &of_metadata)] {
        for expected in expected {
            assert_eq!(watching.told().await, *expected);
        }
    }
    // The history is filtered in the same way.
    for (request, expected) in [(by_name, &of_names[..]), (by_pairs, &of_metadata)] {
        let request = WatchSecretsRequest { after_revision: begun, ..request };
        let (_, events) = Watching::synced(&room, request).await;
        assert_eq!(events.iter().map(summary).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_name_that_may_not_be_listed_is_never_told() {
    use SecretEventType as Is;
    let room = Room::open().await;
    let (key, caller) = bare_key(&room).await;
    denied(caller.secrets().watch_secrets(watch()).await);
    bind(&room, &key, &room.namespace, "app_*").await;
    let (mut watching, _) = Watching::synced(&caller, watch()).await;

    let hidden = room.create("hidden", "v").await;
    room.update(UpdateSecretRequest { metadata: pairs(&[("k", "secret")]), ..update("hidden") }).await;
    room.update(rename("hidden", "app_a")).await; // comes into sight
    room.update(rename("app_a", "app_b")).await;
    room.update(rename("app_b", "hidden_again")).await; // and goes out of it
    room.rotate("hidden_again", "w").await;
    room.delete("hidden_again").await;
    room.create("app_last", "v").await;

    assert_eq!(watching.told().await, told(Is::Renamed, "app_a"));
    assert_eq!(watching.told().await, (Is::Renamed, "app_b".to_owned(), Some("app_a".to_owned())));
    let removed = watching.event().await;
    assert_eq!(summary(&removed), told(Is::Removed, "app_b"));
    let secret = removed.secret.unwrap();
    assert_eq!((secret.id, secret.metadata, secret.version), (hidden.id, BTreeMap::new(), 0));
    assert_eq!(watching.told().await, told(Is::Created, "app_last"));
    let request = WatchSecretsRequest { snapshot: true, ..watch() };
    let (_, present) = Watching::synced(&caller, request).await;
    assert_eq!(present.iter().map(summary).collect::<Vec<_>>(), [told(Is::Snapshot, "app_last")]);
}

#[tokio::test]
async fn namespaces_below_are_told_as_the_caller_may_list_them() {
    use SecretEventType as Is;
    let room = Room::open().await;
    let (team, inner) = (room.namespace.clone(), format!("{}/inner", room.namespace));
    let (key, caller) = bare_key(&room).await;
    bind(&room, &key, &team, "*").await;
    bind(&room, &key, &inner, "app_*").await;
    let children = WatchSecretsRequest { include_children: true, ..watch() };
    let (mut of_tree, _) = Watching::synced(&caller, children.clone()).await;
    let (mut of_all, _) =
        Watching::synced(&room.root, WatchSecretsRequest { namespace: team.clone(), ..children }).await;
    let (mut of_one, _) = Watching::synced(&caller, watch()).await;
    let put = |namespace: String, name: &str| {
        let request = CreateSecretRequest { namespace, ..create(name, "v") };
        let root = room.root.clone();
        async move { root.create_with(request).await }
    };
    put(inner.clone(), "app_a").await;
    put(inner.clone(), "hidden").await;
    put(format!("{team}/other"), "app_a").await;
    put(format!("{team}-not-below"), "app_a").await;
    put(team.clone(), "last").await;

    let place = |event: SecretEvent| {
        let secret = event.secret.unwrap();
        (secret.namespace, secret.name)
    };
    assert_eq!(place(of_tree.event().await), (inner.clone(), "app_a".to_owned()));
    assert_eq!(place(of_tree.event().await), (team.clone(), "last".to_owned()));
    assert_eq!(of_one.told().await, told(Is::Created, "last"));
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(place(of_all.event().await));
    }
    let expected =
        [(&inner, "app_a"), (&inner, "hidden"), (&format!("{team}/other"), "app_a"), (&team, "last")];
    assert_eq!(all, expected.map(|(namespace, name)| (namespace.clone(), name.to_owned())));
    // The history and the snapshot tell the same.
    let request = WatchSecretsRequest { include_children: true, snapshot: true, ..watch() };
    let (_, mut present) = Watching::synced(&caller, request).await;
    present.sort_by_key(|event| event.revision);
    let present: Vec<_> = present.into_iter().map(place).collect();
    assert_eq!(present, [(inner, "app_a".to_owned()), (team, "last".to_owned())]);
}

#[tokio::test]
async fn a_watch_ends_with_the_key_and_with_the_rights_of_its_caller() {
    let room = Room::open().await;
    let (key, caller) = bare_key(&room).await;
    let binding = bind(&room, &key, &room.namespace, "app_*").await;
    let (narrowed, _) = Watching::synced(&caller, watch()).await;
    room.root.access().delete_binding(DeleteBindingRequest { id: binding }).await.unwrap();
    let ended = narrowed.ended().await;
    assert_eq!((ended.code(), reason_of(&ended).as_str()), (Code::PermissionDenied, "ACCESS_DENIED"));

    let (revoked, _) = Watching::synced(&room, watch()).await;
    let request = RevokeApiKeyRequest { id: room.key.id.clone() };
    room.root.access().revoke_api_key(request).await.unwrap();
    let ended = revoked.ended().await;
    assert_eq!((ended.code(), reason_of(&ended).as_str()), (Code::Unauthenticated, "CREDENTIAL_INVALID"));
}

#[tokio::test]
async fn a_watch_ends_with_the_server_and_the_caller_is_told_to_come_back() {
    let server = Launch::in_memory().start();
    let root = Caller::root(&server).await;
    let live = Watching::synced(&root, watch()).await.0;
    let mut records =
        root.audit().watch_audit_records(WatchAuditRecordsRequest::default()).await.unwrap().into_inner();
    let of_records = async {
        loop {
            if let Err(status) = records.message().await {
                return status;
            }
        }
    };
    let (ended, of_records, _) = tokio::join!(live.ended(), of_records, server.stop());
    for ended in [ended, of_records] {
        assert_eq!((ended.code(), reason_of(&ended).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
        assert!(ended.message().contains("The server is stopping"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused() {
    let room = Room::open().await;
    let mut secrets = room.secrets();
    let known = room.create("a", "v").await.revision;
    let future = WatchSecretsRequest { after_revision: 1 << 40, ..watch() };
    invalid(secrets.watch_secrets(future).await.map(no_stream), &["after_revision"]);
    let both = WatchSecretsRequest { after_revision: known, snapshot: true, ..watch() };
    invalid(secrets.watch_secrets(both).await.map(no_stream), &["snapshot"]);
    let wrong = WatchSecretsRequest {
        namespace: "Not A Namespace".into(),
        name_prefix: "not a prefix".into(),
        metadata: pairs(&[("", "v")]),
        ..watch()
    };
    let fields = ["namespace", "name_prefix", "metadata"];
    invalid(secrets.watch_secrets(wrong).await.map(no_stream), &fields);
    denied(secrets.watch_secrets(WatchSecretsRequest { namespace: "default".into(), ..watch() }).await);
    // Nothing was ever put into the namespace.
    let empty = Room::open().await;
    let (mut watching, _) = Watching::synced(&empty, watch()).await;
    empty.create("first", "v").await;
    assert_eq!(watching.told().await, told(SecretEventType::Created, "first"));
}

/// A change through one replica is told by the other, and a watch goes on there.
#[tokio::test]
async fn a_watch_goes_on_at_another_replica() {
    let Some(etcd) = etcd_server::shared() else { return };
    let prefix = uuid::Uuid::new_v4().to_string();
    let one = Launch::in_etcd(&etcd.url(), &prefix).start();
    let key = one.data_dir.join("master.key").display().to_string();
    let other = Launch::in_etcd(&etcd.url(), &prefix).argument("--master-key-file").argument(key).start();
    let root = Credential::bearer(&one.root_key);
    let here = Caller::new(&one, root.clone()).await;
    let there = Caller::new(&other, root).await;
    let (mut watching, _) = Watching::synced(&there, watch()).await;
    let mut made = Vec::new();
    for round in 0..3 {
        // Several at once: they can share a revision.
        let names: Vec<_> = (0..8).map(|nth| format!("s{round}_{nth}")).collect();
        let creates = names.iter().map(|name| {
            let (caller, name) = (here.clone(), name.clone());
            tokio::spawn(async move { caller.create(&name, "v").await })
        });
        for create in creates.collect::<Vec<_>>() {
            create.await.unwrap();
        }
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        while told.len() < names.len() {
            let event = watching.event().await;
            assert!(told.insert(event.secret.unwrap().name, event.revision).is_none(), "told twice");
        }
        assert!(names.iter().all(|name| told.contains_key(name)));
        made.extend(told.into_values());
        // Goes on at the first replica.
        let (back, events) = Watching::synced(&here, after(watching.resume)).await;
        assert_eq!(events, []);
        watching = if round % 2 == 0 { back } else { Watching::synced(&there, after(back.resume)).await.0 };
    }
    assert_eq!(made.len(), 24);
}

fn no_stream(reply: Response<Streaming<WatchSecretsResponse>>) -> Response<()> {
    reply.map(drop)
}

/// A key without a binding, and a caller with it.
async fn bare_key(room: &Room) -> (strongroom::api::v1::ApiKey, Caller) {
    let request = strongroom::api::v1::CreateApiKeyRequest {
        name: "bare".into(),
        home_namespace: room.namespace.clone(),
        role: "none".into(),
        ..Default::default()
    };
    let reply = room.root.access().create_api_key(request).await.unwrap().into_inner();
    (reply.api_key.unwrap(), room.root.with(Credential::bearer(&reply.credential)))
}

/// Lets a key list these names of a namespace. Returns the id of the binding.
async fn bind(room: &Room, key: &strongroom::api::v1::ApiKey, namespace: &str, names: &str) -> String {
    let request = CreateBindingRequest {
        principal: format!("key:{}", key.id),
        role: "viewer".into(),
        namespace_pattern: namespace.into(),
        name_pattern: names.into(),
        ..Default::default()
    };
    room.root.access().create_binding(request).await.unwrap().into_inner().binding.unwrap().id
}

/// A server with this table `[history]`.
fn with_history(data_dir: &std::path::Path, lines: &str) -> Server {
    Launch::durable(data_dir).configured(&format!("[history]\n{lines}\n")).start()
}
