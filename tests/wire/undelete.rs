//! UndeleteSecret: a deleted secret comes back as it was, until it is removed for good.

use std::collections::BTreeMap;

use strongroom::api::v1::{
    CreateApiKeyRequest, CreateBindingRequest, CreateRoleRequest, CreateSecretRequest, DeleteSecretRequest,
    GetStatusRequest, ListSecretsRequest, Right, Secret, UndeleteSecretRequest,
};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::backup::{backup, restore};
use crate::caller::{Caller, Credential, Room, names, secret};
use crate::harness::Launch;
use crate::refusal::{denied, invalid, refused, taken};
use crate::requests::{Value, create, delete, list, rename};

fn undelete(id: &str) -> UndeleteSecretRequest {
    UndeleteSecretRequest { id: id.into(), ..Default::default() }
}

async fn undeleted(caller: &Caller, id: &str) -> Secret {
    secret(caller.secrets().undelete_secret(undelete(id)).await.unwrap().into_inner().secret)
}

/// Asserts that the namespace has no deleted secret with this id, as far as the caller may know.
#[track_caller]
fn unknown<T>(reply: Result<Response<T>, Status>) -> Status {
    refused(reply, Code::NotFound, "SECRET_NOT_FOUND")
}

fn with_deleted() -> ListSecretsRequest {
    ListSecretsRequest { include_deleted: true, ..list() }
}

#[tokio::test]
async fn a_deleted_secret_comes_back_as_it_was() {
    let room = Room::open().await;
    let metadata = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
    let request = CreateSecretRequest { description: "what for".into(), metadata, ..create("A", "one") };
    let made = room.create_with(request).await;
    room.rotate("A", "two").await;
    let before = room.get("A").await;
    let deleted = room.secrets().delete_secret(delete("A")).await.unwrap().into_inner();

    let page = room.list(with_deleted()).await;
    let [listed] = page.items.as_slice() else { panic!("one deleted secret") };
    assert_eq!((&listed.id, page.total_size), (&made.id, 1));
    assert_eq!((listed.deleted_at, listed.purge_at), (deleted.deleted_at, deleted.purge_at));
    assert_eq!(listed.revision, deleted.revision);
    assert_eq!(Value::of(listed), Value::Redacted);

    let back = room.secrets().undelete_secret(undelete(&made.id)).await.unwrap().into_inner();
    assert!(back.revision > deleted.revision);
    let back = secret(back.secret);
    assert_eq!(Value::of(&back), Value::Redacted);
    assert_eq!((back.deleted_at, back.purge_at), (None, None));
    assert_ne!(back.etag, before.etag);
    let (etag, revision, updated_at) = (before.etag.clone(), before.revision, before.updated_at);
    assert_eq!(Secret { etag, revision, updated_at, value: before.value.clone(), ..back }, before);
    assert_eq!(room.value("A").await, Value::text("two"));
    assert_eq!(room.version("A", 1).await, Value::text("one"));
    unknown(room.secrets().undelete_secret(undelete(&made.id)).await);
}

#[tokio::test]
async fn secrets_of_the_same_name_are_deleted_listed_and_brought_back() {
    let room = Room::open().await;
    let mut ids = Vec::new();
    for life in 0..3 {
        ids.push(room.create("A", &format!("life {life}")).await.id);
        room.delete("A").await;
    }
    room.create("B", "v").await;
    room.create("A", "present").await;
    assert_eq!(room.names().await, ["A", "B"]);
    for order_by in ["name", "created_at", "updated_at desc", "name desc"] {
        let mut request = ListSecretsRequest { limit: Some(2), order_by: order_by.into(), ..with_deleted() };
        let mut walked = Vec::new();
        loop {
            let page = room.list(request.clone()).await;
            assert_eq!(page.total_size, 5);
            walked.extend(page.items);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        walked.sort_by(|a, b| a.id.cmp(&b.id));
        walked.dedup_by(|a, b| a.id == b.id);
        let deleted = walked.iter().filter(|secret| secret.deleted_at.is_some());
        assert_eq!(
            (walked.len(), deleted.map(|secret| &secret.id).collect::<Vec<_>>()),
            (5, ids.iter().collect())
        );
    }
    let page = room.list(ListSecretsRequest { limit: Some(2), ..with_deleted() }).await;
    let other = ListSecretsRequest { limit: Some(2), page_token: page.next_page_token, ..list() };
    invalid(room.secrets().list_secrets(other).await, &["page_token"]);
    let named = ListSecretsRequest { name_prefix: "B".into(), ..with_deleted() };
    assert_eq!(room.names_of(named).await, ["B"]);

    // The name is taken, and nothing changes.
    let before = room.list(with_deleted()).await.items;
    taken(room.secrets().undelete_secret(undelete(&ids[1])).await, "A");
    let onto = UndeleteSecretRequest { new_name: "B".into(), ..undelete(&ids[1]) };
    taken(room.secrets().undelete_secret(onto).await, "B");
    assert_eq!(room.list(with_deleted()).await.items, before);

    let renamed = UndeleteSecretRequest { new_name: "C".into(), ..undelete(&ids[1]) };
    let back = secret(room.secrets().undelete_secret(renamed).await.unwrap().into_inner().secret);
    assert_eq!((&*back.name, &back.id), ("C", &ids[1]));
    assert_eq!(room.value("C").await, Value::text("life 1"));
    room.delete("A").await;
    undeleted(&room, &ids[0]).await;
    assert_eq!(room.value("A").await, Value::text("life 0"));
    assert_eq!(room.names().await, ["A", "B", "C"]);
}

#[tokio::test]
async fn a_repeated_request_changes_nothing_and_has_the_same_answer() {
    let room = Room::open().await;
    let made = room.create("A", "v").await;
    let request_id = || Uuid::new_v4().to_string();
    let request = DeleteSecretRequest { request_id: request_id(), ..delete("A") };
    let first = room.secrets().delete_secret(request.clone()).await.unwrap().into_inner();
    assert_eq!(room.secrets().delete_secret(request.clone()).await.unwrap().into_inner(), first);

    let again =
        UndeleteSecretRequest { request_id: request_id(), new_name: "B".into(), ..undelete(&made.id) };
    let back = room.secrets().undelete_secret(again.clone()).await.unwrap().into_inner();
    let repeated = room.secrets().undelete_secret(again.clone()).await.unwrap().into_inner();
    assert_eq!((repeated.revision, secret(repeated.secret).name), (back.revision, "B".to_owned()));
    let other = UndeleteSecretRequest { new_name: "C".into(), ..again.clone() };
    refused(room.secrets().undelete_secret(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");

    // The outcome stays the same when the secret is deleted again, and the first deletion is not made again.
    assert_eq!(room.secrets().delete_secret(request).await.unwrap().into_inner(), first);
    assert_eq!(room.names().await, ["B"]);
    room.delete("B").await;
    let repeated = room.secrets().undelete_secret(again).await.unwrap().into_inner();
    assert_eq!(repeated.revision, back.revision);
    assert!(room.names().await.is_empty());
}

#[tokio::test]
async fn what_is_not_a_deleted_secret_of_the_namespace_is_not_found() {
    let (room, other) = (Room::open().await, Room::open().await);
    let live = room.create("A", "v").await;
    let theirs = other.create("A", "v").await;
    other.delete("A").await;
    let never = Uuid::now_v7().to_string();
    for id in [&live.id, &theirs.id, &never] {
        let status = unknown(room.secrets().undelete_secret(undelete(id)).await);
        assert!(status.message().contains(id.as_str()), "{}", status.message());
    }
    for id in ["", "A", &live.id.to_uppercase(), &live.id.replace('-', ""), "\u{0}"] {
        invalid(room.secrets().undelete_secret(undelete(id)).await, &["id"]);
    }
    let wrong = UndeleteSecretRequest {
        namespace: "Wrong".into(),
        id: "1".into(),
        new_name: "1".into(),
        request_id: "x".into(),
        ..Default::default()
    };
    let fields = ["id", "namespace", "new_name", "request_id"];
    invalid(room.root.secrets().undelete_secret(wrong).await, &fields);
    assert_eq!(room.get("A").await.etag, live.etag);
    assert_eq!(room.names().await, ["A"]);
}

#[tokio::test]
async fn the_right_is_asked_for_on_both_names_before_a_secret_is_looked_for() {
    let room = Room::open().await;
    let [mine, hidden] = ["mine_a", "other_a"].map(|name| (name, String::new()));
    let mut ids = [mine, hidden];
    for (name, id) in &mut ids {
        *id = room.create(name, "v").await.id;
        room.delete(name).await;
    }
    let [(_, mine), (_, hidden)] = &ids;
    let bare = || async {
        let request = CreateApiKeyRequest {
            name: "bare".into(),
            home_namespace: room.namespace.clone(),
            role: "none".into(),
            ..Default::default()
        };
        let reply = room.root.access().create_api_key(request).await.unwrap().into_inner();
        (reply.api_key.unwrap(), room.root.with(Credential::bearer(&reply.credential)))
    };
    let never = Uuid::now_v7().to_string();

    // Without the right on any name, nothing is told.
    let (_, nobody) = bare().await;
    let mut told = Vec::new();
    for id in [mine, hidden, &never] {
        told.push(denied(nobody.secrets().undelete_secret(undelete(id)).await).message().to_owned());
    }
    assert!(told.iter().all(|message| *message == told[0]), "{told:?}");

    // With the right on some names, a secret of another name is as one that there is not.
    let (key, some) = bare().await;
    let binding = CreateBindingRequest {
        principal: format!("key:{}", key.id),
        role: "editor".into(),
        namespace_pattern: room.namespace.clone(),
        name_pattern: "mine_*".into(),
        ..Default::default()
    };
    room.root.access().create_binding(binding).await.unwrap();
    let unknown_to = |id: &str, status: Status| status.message().replace(id, "ID");
    let of_hidden = unknown(some.secrets().undelete_secret(undelete(hidden)).await);
    let of_never = unknown(some.secrets().undelete_secret(undelete(&never)).await);
    assert_eq!(unknown_to(hidden, of_hidden), unknown_to(&never, of_never));
    let listed = some.list(with_deleted()).await;
    assert_eq!((names(&listed), listed.total_size), (vec!["mine_a".to_owned()], 1));
    for id in [mine, &never] {
        let onto = UndeleteSecretRequest { new_name: "other_b".into(), ..undelete(id) };
        denied(some.secrets().undelete_secret(onto).await);
    }
    let onto = UndeleteSecretRequest { new_name: "mine_b".into(), ..undelete(hidden) };
    unknown(some.secrets().undelete_secret(onto.clone()).await);
    assert!(room.names().await.is_empty());
    let onto = UndeleteSecretRequest { id: mine.clone(), ..onto };
    some.secrets().undelete_secret(onto).await.unwrap();
    assert_eq!(room.names().await, ["mine_b"]);
    undeleted(&room, hidden).await;
}

#[tokio::test]
async fn deleted_secrets_survive_a_kill_a_backup_and_a_restore_with_their_usage() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    let made = root.create("A", "one").await;
    root.rotate("A", "two").await;
    root.value("A").await;
    server.stop().await; // which stores the usage
    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    root.delete("A").await;
    server.kill();

    let server = Launch::durable(folder.path()).start();
    let root = Caller::root(&server).await;
    assert!(root.names().await.is_empty());
    let (bytes, _) = backup(&root).await.unwrap();
    undeleted(&root, &made.id).await;
    assert_eq!(root.value("A").await, Value::text("two"));
    assert_eq!(root.version("A", 1).await, Value::text("one"));
    let [second, _] = root.versions("A").await.try_into().unwrap();
    assert_eq!(second.consumers.len(), 1, "{second:?}");
    root.update(rename("A", "B")).await;

    assert_eq!(restore(&root, &bytes, false).await.unwrap().damaged_records, 0);
    assert!(root.names().await.is_empty());
    undeleted(&root, &made.id).await;
    assert_eq!(root.value("A").await, Value::text("two"));
    server.stop().await;
}

#[tokio::test]
async fn without_retention_a_deletion_is_for_good() {
    let server = Launch::in_memory().configured("deletion_retention = '0s'").start();
    let root = Caller::root(&server).await;
    let made = root.create("A", "v").await;
    let deleted = root.secrets().delete_secret(delete("A")).await.unwrap().into_inner();
    assert_eq!((deleted.id, deleted.purge_at), (made.id.clone(), deleted.deleted_at));
    unknown(root.secrets().undelete_secret(undelete(&made.id)).await);
    assert_eq!(root.list(with_deleted()).await.total_size, 0);
}

#[tokio::test]
async fn the_status_counts_deleted_secrets_apart_and_says_when_the_next_thing_is_due() {
    let server = Launch::in_memory().start();
    let room = Room::on(&server).await;
    let status = async || room.root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
    room.create("A", "v").await;
    room.create("B", "v").await;
    let before = status().await;
    assert_eq!((before.secrets, before.deleted_secrets, before.next_due_at), (2, 0, None));
    let request = DeleteSecretRequest { name: "A".into(), ..Default::default() };
    let deleted = room.secrets().delete_secret(request).await.unwrap().into_inner();
    let after = status().await;
    assert_eq!((after.secrets, after.deleted_secrets), (1, 1));
    assert_eq!(after.next_due_at, deleted.purge_at);
    server.stop().await;
}

#[tokio::test]
async fn another_name_needs_the_rights_of_a_rename() {
    let room = Room::open().await;
    for name in ["prod_pw", "tmp_evil"] {
        room.create(name, name).await;
    }
    let role = CreateRoleRequest {
        name: format!("deleter-{}", Uuid::new_v4().simple()),
        rights: vec![Right::List.into(), Right::Delete.into()],
        description: String::new(),
    };
    room.root.access().create_role(role.clone()).await.unwrap();
    let request = CreateApiKeyRequest {
        name: "deleter".into(),
        home_namespace: room.namespace.clone(),
        role: "none".into(),
        ..Default::default()
    };
    let made = room.root.access().create_api_key(request).await.unwrap().into_inner();
    let deleter = room.root.with(Credential::bearer(&made.credential));
    let principal = format!("key:{}", made.api_key.unwrap().id);
    for (role, names) in [(role.name.as_str(), "*"), ("editor", "tmp_*")] {
        let binding = CreateBindingRequest {
            principal: principal.clone(),
            role: role.into(),
            namespace_pattern: room.namespace.clone(),
            name_pattern: names.into(),
            ..Default::default()
        };
        room.root.access().create_binding(binding).await.unwrap();
    }
    let deleted = async |name: &str| {
        let request = DeleteSecretRequest { name: name.into(), ..Default::default() };
        deleter.secrets().delete_secret(request).await.unwrap().into_inner().id
    };
    let (prod, evil) = (deleted("prod_pw").await, deleted("tmp_evil").await);
    for (id, new_name) in [(&prod, "tmp_x"), (&evil, "prod_pw")] {
        let request = UndeleteSecretRequest { new_name: new_name.into(), ..undelete(id) };
        denied(deleter.secrets().undelete_secret(request).await);
    }
    // Under its own name, and under one that the caller may give it, each comes back.
    assert_eq!(undeleted(&deleter, &prod).await.name, "prod_pw");
    let request = UndeleteSecretRequest { new_name: "tmp_x".into(), ..undelete(&evil) };
    deleter.secrets().undelete_secret(request).await.unwrap();
    assert_eq!(room.value("tmp_x").await, Value::text("tmp_evil"));
}
