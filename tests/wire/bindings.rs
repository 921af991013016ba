//! Roles and bindings: who may do what, down to names; who may give what; and what a change of them ends.

use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet, Timestamp};
use strongroom::api::v1::{
    ApiKey, Binding, CreateApiKeyRequest, CreateBindingRequest, CreateRoleRequest, DESCRIPTORS,
    DeleteBindingRequest, DeleteRoleRequest, Effect, ExplainAccessRequest, GetSecretRequest,
    ListApiKeysRequest, ListBindingsRequest, ListRolesRequest, ListSecretsRequest, ResolveReferencesRequest,
    RevokeApiKeyRequest, Right, RotateApiKeyRequest, WatchSecretsRequest, WhoAmIRequest,
};
use tonic::{Code, Response};
use uuid::Uuid;

use crate::caller::{Caller, Credential, Room, names};
use crate::etcd_server;
use crate::harness::{Launch, Server, shared};
use crate::raw::{Wire, rpcs};
use crate::refusal::{denied, invalid, not_found, reason_of, refused};
use crate::requests::{Value, create, delete, describe, get, list, rename, rotate};

/// A revision that no test reaches.
const AHEAD: u64 = 1 << 40;

/// A request to give a key a role.
fn bind(key: &ApiKey, role: &str, namespaces: &str, names: &str) -> CreateBindingRequest {
    CreateBindingRequest {
        principal: principal(key),
        role: role.into(),
        namespace_pattern: namespaces.into(),
        name_pattern: names.into(),
        ..Default::default()
    }
}

/// The same to deny it.
fn deny(key: &ApiKey, role: &str, namespaces: &str, names: &str) -> CreateBindingRequest {
    CreateBindingRequest { effect: Effect::Deny.into(), ..bind(key, role, namespaces, names) }
}

fn principal(key: &ApiKey) -> String {
    format!("key:{}", key.id)
}

async fn made(caller: &Caller, request: CreateBindingRequest) -> Binding {
    let what = format!("{request:?}");
    let reply = caller.access().create_binding(request).await;
    reply.unwrap_or_else(|refusal| panic!("{what}: {refusal:?}")).into_inner().binding.unwrap()
}

/// A key without a binding, and a caller with it.
async fn bare_key(root: &Caller, home: &str) -> (ApiKey, Caller) {
    let request = CreateApiKeyRequest {
        name: "bare".into(),
        home_namespace: home.into(),
        role: "none".into(),
        ..Default::default()
    };
    let reply = root.access().create_api_key(request).await.unwrap().into_inner();
    (reply.api_key.unwrap(), root.with(Credential::bearer(&reply.credential)))
}

async fn remove(caller: &Caller, binding: &Binding) {
    caller.access().delete_binding(DeleteBindingRequest { id: binding.id.clone() }).await.unwrap();
}

fn namespace() -> String {
    format!("t-{}", Uuid::new_v4())
}

/// A message of this type with every field that says what a request is about, encoded by hand.
fn message(described: &DescriptorProto, namespace: &str, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in &described.field {
        let tag = u32::try_from(field.number()).unwrap() << 3;
        let mut text = |text: &str| {
            bytes.push(u8::try_from(tag | 2).unwrap());
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend(text.as_bytes());
        };
        match (field.name(), field.r#type()) {
            ("namespace" | "home_namespace" | "namespace_pattern", Type::String) => text(namespace),
            ("name" | "names", Type::String) => text(name),
            ("principal", Type::String) => text("cert:somebody"),
            ("role", Type::String) => text("reader"),
            ("id", Type::String) if described.name() == "UndeleteSecretRequest" => {
                text("0197f3a0-5c1e-7000-8000-4d6f6e657921");
            }
            ("new_name", Type::String) if described.name() == "UndeleteSecretRequest" => text(name),
            ("id", Type::String) => text("abcdefghijklmnop"),
            _ => {}
        }
    }
    bytes
}

/// Every RPC in every way in which it must be refused.
#[tokio::test]
#[allow(clippy::print_stdout)] // figures for people to quote
async fn every_rpc_is_refused_in_every_way() {
    let server = shared();
    let root = Caller::root(server).await;
    let (home, other) = (namespace(), namespace());
    let wire = Wire::to(server).await;
    let key = async |request: CreateApiKeyRequest| {
        let request = CreateApiKeyRequest { name: "k".into(), ..request };
        let made = root.access().create_api_key(request).await.unwrap().into_inner();
        (made.api_key.unwrap(), made.credential)
    };
    let at = |namespace: &str, role: &str| CreateApiKeyRequest {
        home_namespace: namespace.into(),
        role: role.into(),
        ..Default::default()
    };
    let ttl = Some(prost_types::Duration { seconds: 0, nanos: 1 });
    let (_, expired) = key(CreateApiKeyRequest { ttl, ..at(&home, "") }).await;
    let (gone, revoked) = key(at(&home, "")).await;
    root.access().revoke_api_key(RevokeApiKeyRequest { id: gone.id }).await.unwrap();
    let (_, elsewhere) = key(at(&other, "")).await;
    let (_, without) = key(at(&home, "none")).await;
    let (denied_key, denied_all) = key(at(&home, "none")).await;
    made(&root, bind(&denied_key, "admin", "**", "*")).await;
    made(&root, deny(&denied_key, "admin", "**", "*")).await;
    let (narrow, other_names) = key(at(&home, "none")).await;
    made(&root, bind(&narrow, "editor", &home, "other_*")).await;

    let unauthenticated = |reason| (Code::Unauthenticated, reason);
    let access_denied = (Code::PermissionDenied, "ACCESS_DENIED");
    let garbage = "srk_0123456789abcdef_0123456789abcdef";
    let ways = [
        ("no credential", wire.clone(), unauthenticated("CREDENTIAL_MISSING")),
        ("garbage", wire.bearer(garbage), unauthenticated("CREDENTIAL_INVALID")),
        (
            "two credentials",
            wire.bearer(&elsewhere).header("x-api-key", elsewhere.clone().into_bytes()),
            unauthenticated("CREDENTIAL_INVALID"),
        ),
        ("expired", wire.bearer(&expired), unauthenticated("CREDENTIAL_EXPIRED")),
        ("revoked", wire.bearer(&revoked), unauthenticated("CREDENTIAL_INVALID")),
        ("wrong namespace", wire.bearer(&elsewhere), access_denied),
        ("missing right", wire.bearer(&without), access_denied),
        ("deny binding", wire.bearer(&denied_all), access_denied),
        ("name pattern that does not match", wire.bearer(&other_names), access_denied),
    ];
    let described = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let messages = || described.file.iter().filter(|file| file.package() == "strongroom.v1");
    let find = |name: &str| messages().flat_map(|file| &file.message_type).find(|one| one.name() == name);
    let mut tried = 0;
    for rpc in rpcs() {
        let method = rpc.rsplit('/').next().unwrap();
        let mut bytes = message(find(&format!("{method}Request")).unwrap(), &home, "db");
        if method == "WatchSecrets" {
            // A watch that is served has no end: this one begins in the future, which is refused after the rights are known.
            let future = WatchSecretsRequest { after_revision: u64::MAX, ..Default::default() };
            bytes.extend(future.encode_to_vec());
        }
        for (way, caller, expected) in &ways {
            let answer = caller.call(&rpc, &bytes).await.map(drop);
            let answer = answer.map_err(|status| (status.code(), reason_of(&status)));
            let (code, reason) = *expected;
            // Everybody who is known may ask who it is. A key that may list elsewhere is told where. A key that may list other names lists those, a document that names no secret
            // needs none, and a batch says for each name that it is denied.
            let some_names = *way == "name pattern that does not match";
            let answered = code == Code::PermissionDenied
                && (method == "WhoAmI"
                    || *way == "wrong namespace" && method == "ListNamespaces"
                    || some_names
                        && ["BatchGetSecrets", "ListSecrets", "ListNamespaces", "ResolveReferences"]
                            .contains(&method));
            let expected = match answered {
                true => Ok(()),
                false if some_names && method == "WatchSecrets" => {
                    Err((Code::InvalidArgument, "VALIDATION_FAILED".to_owned()))
                }
                // Which namespace it is about, only its claim says: this request has none.
                false if (some_names || *way == "wrong namespace") && method == "ReleaseRotation" => {
                    Err((Code::InvalidArgument, "VALIDATION_FAILED".to_owned()))
                }
                false if some_names && method == "ClaimRotation" => {
                    Err((Code::NotFound, "NO_ROTATION_DUE".to_owned()))
                }
                false => Err((code, reason.to_owned())),
            };
            assert_eq!(answer, expected, "{rpc}: {way}");
            tried += 1;
        }
    }
    assert_eq!(tried, rpcs().len() * ways.len());
    println!("access: {} RPCs in {} ways, {tried} calls", rpcs().len(), ways.len());
}

#[tokio::test]
async fn a_caller_does_what_its_role_says_on_the_names_of_its_binding() {
    let root = Caller::root(shared()).await;
    let home = namespace();
    let (key, caller) = bare_key(&root, &home).await;
    let (_, owner) = root.make_key("owner", &home).await;
    for name in ["db_a", "db_b", "api_key"] {
        owner.create(name, "v").await;
    }
    denied(caller.secrets().get_secret(get("db_a")).await);
    let reader = made(&root, bind(&key, "reader", &home, "db_*")).await;
    assert_eq!(caller.value("db_a").await, Value::text("v"));
    // Whether a secret exists is not said of a name that the caller may not read.
    for name in ["api_key", "no_such"] {
        denied(caller.secrets().get_secret(get(name)).await);
    }
    not_found(caller.secrets().get_secret(get("db_c")).await, "db_c");
    denied(caller.secrets().create_secret(create("db_c", "v")).await);
    denied(caller.secrets().rotate_secret(rotate("db_a", "w")).await);
    denied(caller.secrets().delete_secret(delete("db_a")).await);

    // A rename needs the right on both names.
    made(&root, bind(&key, "writer", &home, "db_*")).await;
    denied(caller.secrets().update_secret(rename("db_a", "api_a")).await);
    denied(caller.secrets().update_secret(rename("api_key", "db_key")).await);
    caller.update(rename("db_a", "db_c")).await;
    caller.update(describe("db_c", "changed")).await;
    // A writer does not delete.
    denied(caller.secrets().delete_secret(delete("db_c")).await);
    denied(caller.secrets().destroy_version(crate::requests::destroy("db_c", 1)).await);

    // A denial wins, until it is removed.
    let denial = made(&root, deny(&key, "reader", &home, "*_b")).await;
    denied(caller.secrets().get_secret(get("db_b")).await);
    assert_eq!(caller.value("db_c").await, Value::text("v"));
    remove(&root, &denial).await;
    assert_eq!(caller.value("db_b").await, Value::text("v"));
    remove(&root, &reader).await;
    denied(caller.secrets().get_secret(get("db_b")).await);
}

#[tokio::test]
async fn a_list_shows_and_counts_what_may_be_listed() {
    let root = Caller::root(shared()).await;
    let home = namespace();
    let (key, caller) = bare_key(&root, &home).await;
    let (_, owner) = root.make_key("owner", &home).await;
    for n in 0..5 {
        owner.create(&format!("db_{n}"), "v").await;
        owner.create(&format!("api_{n}"), "v").await;
    }
    denied(caller.secrets().list_secrets(list()).await);
    let allow = made(&root, bind(&key, "viewer", &home, "db_*")).await;
    made(&root, deny(&key, "viewer", &home, "*_3")).await;
    for order in ["name", "name desc", "created_at", "updated_at desc"] {
        let page = caller.list(ListSecretsRequest { order_by: order.into(), ..list() }).await;
        let mut found = names(&page);
        found.sort();
        assert_eq!((found, page.total_size), (["db_0", "db_1", "db_2", "db_4"].map(str::to_owned).into(), 4));
    }
    assert_eq!(caller.list(ListSecretsRequest { name_prefix: "api".into(), ..list() }).await.total_size, 0);
    // A change is seen, and a page follows another one.
    owner.create("db_5", "v").await;
    owner.delete("db_0").await;
    let first = caller.list(ListSecretsRequest { limit: Some(2), ..list() }).await;
    assert_eq!((names(&first), first.total_size), (["db_1", "db_2"].map(str::to_owned).into(), 4));
    let next = ListSecretsRequest { limit: Some(2), page_token: first.next_page_token, ..list() };
    assert_eq!(caller.names_of(next.clone()).await, ["db_4", "db_5"]);
    // A token is of the names that it was made for.
    invalid(owner.secrets().list_secrets(next.clone()).await, &["page_token"]);
    remove(&root, &allow).await;
    denied(caller.secrets().list_secrets(next.clone()).await);
    made(&root, bind(&key, "viewer", "**", "*")).await;
    invalid(caller.secrets().list_secrets(next).await, &["page_token"]);
    assert_eq!(caller.list(list()).await.total_size, 8, "all but the two that are denied");
}

#[tokio::test]
async fn a_document_is_resolved_only_if_each_of_its_secrets_may_be_read() {
    let root = Caller::root(shared()).await;
    let home = namespace();
    let (key, caller) = bare_key(&root, &home).await;
    let (_, owner) = root.make_key("owner", &home).await;
    owner.create("db_a", "v").await;
    owner.create("api_a", "v").await;
    made(&root, bind(&key, "reader", &home, "db_*")).await;
    let document = |names: &[&str]| {
        let value = |name: &&str| prost_types::Value {
            kind: Some(prost_types::value::Kind::StringValue(format!("$ secrets.{name}"))),
        };
        let fields = names.iter().map(|name| ((*name).to_owned(), value(name))).collect();
        ResolveReferencesRequest {
            document: Some(prost_types::Struct { fields }),
            ..ResolveReferencesRequest::default()
        }
    };
    assert!(caller.references().resolve_references(document(&["db_a"])).await.is_ok());
    for refused in [&["api_a"][..], &["db_a", "api_a"], &["db_a", "no_such"]] {
        denied(caller.references().resolve_references(document(refused)).await);
        let checked = ResolveReferencesRequest { validate_only: true, ..document(refused) };
        denied(caller.references().resolve_references(checked).await);
    }
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    let root = Caller::root(shared()).await;
    let (team, other) = (namespace(), namespace());
    let (manager_key, manager) = bare_key(&root, &team).await;
    let (friend, friendly) = bare_key(&root, &team).await;
    let below = format!("{team}/**");
    made(&root, bind(&manager_key, "access_admin", &below, "*")).await;
    // Managing access gives no right to read, and none to give.
    denied(manager.secrets().get_secret(get("a")).await);
    denied(manager.access().create_binding(bind(&friend, "reader", &team, "*")).await);
    denied(manager.access().create_binding(bind(&manager_key, "reader", &team, "*")).await);
    let key = |role: &str, home: &str| CreateApiKeyRequest {
        name: "k".into(),
        home_namespace: home.into(),
        role: role.into(),
        ..Default::default()
    };
    denied(manager.access().create_api_key(key("", &team)).await);
    denied(manager.access().create_api_key(key("none", &other)).await);
    manager.access().create_api_key(key("none", &team)).await.unwrap();
    made(&manager, bind(&friend, "access_admin", &format!("{team}/a"), "*")).await;
    denied(manager.access().create_binding(bind(&friend, "access_admin", "**", "*")).await);

    made(&root, bind(&manager_key, "reader", &team, "db_*")).await;
    let given = made(&manager, bind(&friend, "reader", &team, "db_*")).await;
    made(&manager, bind(&friend, "viewer", &team, "db_a")).await;
    for (role, namespaces, names) in [
        ("reader", team.as_str(), "*"),
        ("reader", &below, "db_*"),
        ("editor", &team, "db_a"),
        ("admin", &team, "db_a"),
    ] {
        denied(manager.access().create_binding(bind(&friend, role, namespaces, names)).await);
    }
    not_found(friendly.secrets().get_secret(get("db_a")).await, "db_a");
    // A denial of its own cannot be got round or removed.
    let denial = made(&root, deny(&manager_key, "reader", &team, "db_secret")).await;
    denied(manager.access().create_binding(bind(&friend, "reader", &team, "db_*")).await);
    denied(manager.access().delete_binding(DeleteBindingRequest { id: denial.id }).await);
    // Who rotates a key can use it.
    let (rich, _) = root.make_key("rich", &team).await;
    let rotation = |key: &ApiKey| RotateApiKeyRequest { id: key.id.clone(), ..Default::default() };
    denied(manager.access().rotate_api_key(rotation(&rich)).await);
    let (foreign, _) = root.make_key("foreign", &other).await;
    refused(manager.access().rotate_api_key(rotation(&foreign)).await, Code::NotFound, "API_KEY_NOT_FOUND");
    let foreign = RevokeApiKeyRequest { id: foreign.id };
    refused(manager.access().revoke_api_key(foreign).await, Code::NotFound, "API_KEY_NOT_FOUND");
    // A key of this home that has rights elsewhere is not this manager's to end.
    made(&root, bind(&rich, "viewer", &other, "*")).await;
    denied(manager.access().revoke_api_key(RevokeApiKeyRequest { id: rich.id }).await);

    // A right that ends is not given for longer.
    let expires_at = Some(Timestamp { seconds: 4_000_000_000, nanos: 0 });
    let (late, later) = (expires_at, Some(Timestamp { seconds: 4_000_000_001, nanos: 0 }));
    let (third_key, third) = bare_key(&root, &team).await;
    made(&root, bind(&third_key, "access_admin", &team, "*")).await;
    made(&root, CreateBindingRequest { expires_at, ..bind(&third_key, "reader", &team, "*") }).await;
    denied(third.access().create_binding(bind(&friend, "reader", &team, "*")).await);
    let request = bind(&friend, "reader", &team, "x*");
    denied(
        third.access().create_binding(CreateBindingRequest { expires_at: later, ..request.clone() }).await,
    );
    made(&third, CreateBindingRequest { expires_at: late, ..request }).await;

    // What is not theirs to manage is neither shown nor deleted.
    let all = manager.access().list_bindings(ListBindingsRequest::default()).await.unwrap().into_inner();
    assert!(all.items.iter().any(|binding| binding.id == given.id));
    assert!(all.items.iter().all(|binding| binding.namespace_pattern.starts_with(&team)), "{all:?}");
    let keys = manager.access().list_api_keys(ListApiKeysRequest::default()).await.unwrap().into_inner();
    assert!(!keys.items.is_empty() && keys.items.iter().all(|key| key.home_namespace.starts_with(&team)));
    let outside = made(&root, bind(&friend, "viewer", &other, "*")).await;
    let request = DeleteBindingRequest { id: outside.id };
    refused(manager.access().delete_binding(request).await, Code::NotFound, "BINDING_NOT_FOUND");
    remove(&manager, &given).await;
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let me = root.access().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner().api_key.unwrap();
    let all = root.access().list_bindings(ListBindingsRequest::default()).await.unwrap().into_inner();
    let [mine] = all.items.as_slice() else { panic!("a new store has one binding: {all:?}") };
    assert_eq!((mine.role.as_str(), mine.namespace_pattern.as_str()), ("admin", "**"));
    let last = (Code::FailedPrecondition, "LAST_ADMINISTRATOR");
    let stays = async || {
        let request = DeleteBindingRequest { id: mine.id.clone() };
        refused(root.access().delete_binding(request).await, last.0, last.1);
        let request = RevokeApiKeyRequest { id: me.id.clone() };
        refused(root.access().revoke_api_key(request).await, last.0, last.1);
        refused(root.access().create_binding(deny(&me, "viewer", "a", "x")).await, last.0, last.1);
    };
    stays().await;
    // Neither somebody with fewer rights, nor one whose rights end by themselves, takes its place.
    let (key, other) = bare_key(&root, "default").await;
    made(&root, bind(&key, "admin", "**", "db_*")).await;
    made(&root, bind(&key, "editor", "**", "*")).await;
    let expires_at = Some(Timestamp { seconds: 4_000_000_000, nanos: 0 });
    made(&root, CreateBindingRequest { expires_at, ..bind(&key, "admin", "**", "*") }).await;
    stays().await;
    made(&root, bind(&key, "admin", "**", "*")).await;
    // Now the root key is a key like any other: it is rotated and revoked, and its bindings go with it.
    let request = RotateApiKeyRequest { id: me.id.clone(), ..Default::default() };
    let rotated = root.access().rotate_api_key(request).await.unwrap().into_inner();
    refused(root.access().who_am_i(WhoAmIRequest {}).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    let root = root.with(Credential::bearer(&rotated.credential));
    root.access().revoke_api_key(RevokeApiKeyRequest { id: me.id.clone() }).await.unwrap();
    refused(root.access().who_am_i(WhoAmIRequest {}).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    let of_root = ListBindingsRequest { principal: principal(&me), ..Default::default() };
    assert!(other.access().list_bindings(of_root).await.unwrap().into_inner().items.is_empty());
    let request = RevokeApiKeyRequest { id: key.id.clone() };
    refused(other.access().revoke_api_key(request).await, last.0, last.1);
    server.stop().await;
}

#[tokio::test]
async fn a_key_is_rotated_with_an_overlap() {
    let room = Room::open().await;
    let overlap = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
    let request = RotateApiKeyRequest { id: room.key.id.clone(), overlap };
    let rotated = room.access().rotate_api_key(request).await.unwrap().into_inner();
    let key = rotated.api_key.unwrap();
    assert_eq!((&key.id, &key.name), (&room.key.id, &room.key.name));
    assert!(key.rotated_at.is_some());
    let new = room.with(Credential::bearer(&rotated.credential));
    new.create("A", "v").await;
    assert_eq!(room.value("A").await, Value::text("v"), "the former credential works too");
    let me = room.access().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner();
    assert!(me.api_key.unwrap().expires_at.is_some(), "it says until when");
    // A second rotation ends the first credential.
    let request = RotateApiKeyRequest { id: room.key.id.clone(), ..Default::default() };
    let again = room.root.access().rotate_api_key(request).await.unwrap().into_inner();
    for former in [&room.caller, &new] {
        refused(former.secrets().get_secret(get("A")).await, Code::Unauthenticated, "CREDENTIAL_INVALID");
    }
    assert_eq!(room.with(Credential::bearer(&again.credential)).value("A").await, Value::text("v"));
}

#[tokio::test]
async fn a_binding_that_is_taken_away_ends_what_waits() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.create("A", "v").await;
    let (key, caller) = bare_key(&room.root, &room.namespace).await;
    let waiting = |caller: &Caller| {
        let mut secrets = caller.secrets();
        tokio::spawn(async move {
            secrets.get_secret(GetSecretRequest { min_revision: AHEAD, ..get("A") }).await.map(drop)
        })
    };
    // A binding is deleted, one is denied, and one expires.
    let allow = made(&room.root, bind(&key, "reader", &room.namespace, "*")).await;
    let read = waiting(&caller);
    caller.access().who_am_i(WhoAmIRequest {}).await.unwrap(); // the read has arrived
    remove(&room.root, &allow).await;
    denied(read.await.unwrap().map(Response::new));

    made(&room.root, bind(&key, "reader", &room.namespace, "*")).await;
    let (read, other) = (waiting(&caller), waiting(&room.caller));
    caller.access().who_am_i(WhoAmIRequest {}).await.unwrap();
    let denial = made(&room.root, deny(&key, "reader", &room.namespace, "A")).await;
    denied(read.await.unwrap().map(Response::new));
    assert!(!other.is_finished(), "another caller waits on");
    other.abort();

    let (key, caller) = bare_key(&room.root, &room.namespace).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let expires_at = Some(Timestamp { seconds: i64::try_from(now).unwrap() + 3, nanos: 0 });
    let brief = CreateBindingRequest { expires_at, ..bind(&key, "reader", &room.namespace, "*") };
    made(&room.root, brief).await;
    denied(waiting(&caller).await.unwrap().map(Response::new));
    remove(&room.root, &denial).await;
    let log = server.stop().await.stderr;
    let refusals = log.lines().filter(|line| line.contains("/GetSecret") && line.contains("ACCESS_DENIED"));
    assert_eq!(refusals.count(), 3, "each end of a wait is recorded");
}

#[tokio::test]
async fn a_binding_that_is_taken_away_ends_what_waits_on_another_replica() {
    let Some(etcd) = etcd_server::shared() else { return };
    let prefix = Uuid::new_v4().to_string();
    let one = Launch::in_etcd(&etcd.url(), &prefix).start();
    let master = one.data_dir.join("master.key").display().to_string();
    let other = Launch::in_etcd(&etcd.url(), &prefix).argument("--master-key-file").argument(master).start();
    let (root, elsewhere) = (Caller::root(&one).await, Caller::root(&one).await.at(&other).await);
    root.create("A", "v").await;
    for by in [&root, &elsewhere] {
        let (key, caller) = bare_key(by, "default").await;
        let allow = made(by, bind(&key, "reader", "default", "*")).await;
        let caller = caller.at(if std::ptr::eq(by, &root) { &other } else { &one }).await;
        caller.get("A").await; // this replica knows the binding of the other one
        let mut secrets = caller.secrets();
        let read = tokio::spawn(async move {
            secrets.get_secret(GetSecretRequest { min_revision: AHEAD, ..get("A") }).await.map(drop)
        });
        caller.access().who_am_i(WhoAmIRequest {}).await.unwrap();
        remove(by, &allow).await;
        denied(read.await.unwrap().map(Response::new));
        // Nothing is changed on a binding that is gone, through any replica.
        let (key, caller) = bare_key(by, "default").await;
        let allow = made(by, bind(&key, "editor", "default", "*")).await;
        let caller = caller.at(if std::ptr::eq(by, &root) { &other } else { &one }).await;
        caller.rotate("A", "w").await;
        remove(by, &allow).await;
        denied(caller.secrets().rotate_secret(rotate("A", "x")).await);
    }
}

#[tokio::test]
async fn access_is_explained() {
    let root = Caller::root(shared()).await;
    let home = namespace();
    let (key, caller) = bare_key(&root, &home).await;
    let question = |right: Right, name: &str| ExplainAccessRequest {
        right: right.into(),
        namespace: home.clone(),
        name: name.into(),
        ..Default::default()
    };
    let explain = async |by: &Caller, question: ExplainAccessRequest| {
        by.access().explain_access(question).await.unwrap().into_inner()
    };
    let missing = explain(&caller, question(Right::Read, "db")).await;
    assert!(!missing.allowed && missing.binding.is_none());
    let remedy =
        format!("strongroom binding add --principal key:{} --role reader --on {home} --name db", key.id);
    assert_eq!(missing.remedy, remedy);
    let allow = made(&root, bind(&key, "reader", &home, "*")).await;
    let allowed = explain(&caller, question(Right::Read, "db")).await;
    assert_eq!(
        (allowed.allowed, allowed.binding.as_ref(), allowed.remedy.as_str()),
        (true, Some(&allow), "")
    );
    let denial = made(&root, deny(&key, "reader", &home, "d*")).await;
    let about = ExplainAccessRequest { principal: principal(&key), ..question(Right::Read, "db") };
    let denied_by = explain(&root, about.clone()).await;
    assert_eq!((denied_by.allowed, denied_by.binding.as_ref()), (false, Some(&denial)));
    assert_eq!(denied_by.remedy, format!("strongroom binding remove {}", denial.id));
    assert!(denied_by.explanation.contains(&denial.id), "{}", denied_by.explanation);
    let service =
        explain(&caller, ExplainAccessRequest { right: Right::Operate.into(), ..Default::default() });
    let remedy = format!("strongroom binding add --principal key:{} --role operator --on '**'", key.id);
    assert_eq!(service.await.remedy, remedy);
    // Nobody learns about others without managing their access.
    denied(room_of(&root).await.access().explain_access(about).await);
    let root_key = root.access().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner().principal;
    let of_root = ExplainAccessRequest { principal: root_key, ..question(Right::Read, "db") };
    denied(caller.access().explain_access(of_root).await);
    invalid(caller.access().explain_access(ExplainAccessRequest::default()).await, &["right"]);
    let alone = ExplainAccessRequest { namespace: String::new(), ..question(Right::Read, "db") };
    invalid(caller.access().explain_access(alone).await, &["name"]);
}

async fn room_of(root: &Caller) -> Caller {
    root.make_key("a stranger", &namespace()).await.1
}

#[tokio::test]
async fn roles_are_made_used_and_deleted() {
    let root = Caller::root(shared()).await;
    let home = namespace();
    let (key, caller) = bare_key(&root, &home).await;
    let name = format!("r{}", Uuid::new_v4().simple());
    let role = |name: &str, rights: &[Right]| CreateRoleRequest {
        name: name.into(),
        rights: rights.iter().map(|right| (*right).into()).collect(),
        description: "for a test".into(),
    };
    denied(room_of(&root).await.access().create_role(role(&name, &[Right::List])).await);
    for (name, rights, field) in [
        (name.as_str(), &[][..], "rights"),
        (&name, &[Right::Unspecified], "rights"),
        ("No", &[Right::List], "name"),
        ("none", &[Right::List], "name"),
    ] {
        invalid(root.access().create_role(role(name, rights)).await, &[field]);
    }
    let made_role = root.access().create_role(role(&name, &[Right::Read, Right::Delete])).await.unwrap();
    let made_role = made_role.into_inner().role.unwrap();
    assert_eq!(made_role.rights().collect::<Vec<_>>(), [Right::Read, Right::Delete]);
    for taken in [&name, "reader"] {
        let again = root.access().create_role(role(taken, &[Right::List])).await;
        refused(again, Code::AlreadyExists, "ROLE_ALREADY_EXISTS");
    }
    let listed = root.access().list_roles(ListRolesRequest {}).await.unwrap().into_inner().items;
    assert_eq!(listed.iter().filter(|role| role.built_in).count(), 9);
    assert!(listed.contains(&made_role));

    let binding = made(&root, bind(&key, &name, &home, "*")).await;
    not_found(caller.secrets().get_secret(get("a")).await, "a");
    not_found(caller.secrets().delete_secret(delete("a")).await, "a");
    denied(caller.secrets().list_secrets(list()).await);
    let request = DeleteRoleRequest { name: name.clone() };
    refused(root.access().delete_role(request.clone()).await, Code::FailedPrecondition, "ROLE_IN_USE");
    remove(&root, &binding).await;
    root.access().delete_role(request.clone()).await.unwrap();
    refused(root.access().delete_role(request).await, Code::NotFound, "ROLE_NOT_FOUND");
    let gone = root.access().create_binding(bind(&key, &name, &home, "*")).await;
    refused(gone, Code::NotFound, "ROLE_NOT_FOUND");
    invalid(root.access().delete_role(DeleteRoleRequest { name: "admin".into() }).await, &["name"]);
}

#[tokio::test]
async fn odd_bindings_are_refused() {
    let root = Caller::root(shared()).await;
    let (key, _) = bare_key(&root, &namespace()).await;
    let good = || bind(&key, "reader", "a/**", "db_*");
    let past = Some(Timestamp { seconds: 1, nanos: 0 });
    for (request, field) in [
        (CreateBindingRequest { principal: "root".into(), ..good() }, "principal"),
        (CreateBindingRequest { principal: "cert:a b".into(), ..good() }, "principal"),
        (CreateBindingRequest { role: "Reader".into(), ..good() }, "role"),
        // They would give nothing there, and deny nothing.
        (bind(&key, "auditor", "a", "*"), "role"),
        (bind(&key, "operator", "**", "db_*"), "role"),
        (deny(&key, "auditor", "a/**", "*"), "role"),
        (CreateBindingRequest { namespace_pattern: "a/*".into(), ..good() }, "namespace_pattern"),
        (CreateBindingRequest { namespace_pattern: "".into(), ..good() }, "namespace_pattern"),
        (CreateBindingRequest { name_pattern: "a?".into(), ..good() }, "name_pattern"),
        (CreateBindingRequest { name_pattern: "**".into(), ..good() }, "name_pattern"),
        (CreateBindingRequest { effect: 7, ..good() }, "effect"),
        (CreateBindingRequest { expires_at: past, ..good() }, "expires_at"),
        (CreateBindingRequest { description: "d".repeat(1025), ..good() }, "description"),
        (CreateBindingRequest { request_id: "no".into(), ..good() }, "request_id"),
    ] {
        invalid(root.access().create_binding(request).await, &[field]);
    }
    let of_service =
        CreateApiKeyRequest { name: "ops".into(), role: "operator".into(), ..Default::default() };
    invalid(root.access().create_api_key(of_service).await, &["role"]);
    made(&root, bind(&key, "operator", "**", "*")).await;
    // A key must be there. Others need not have called yet.
    let reversed: String = key.id.chars().rev().collect();
    let dangling = CreateBindingRequest { principal: format!("key:{reversed}"), ..good() };
    refused(root.access().create_binding(dangling).await, Code::NotFound, "API_KEY_NOT_FOUND");
    root.access().revoke_api_key(RevokeApiKeyRequest { id: key.id.clone() }).await.unwrap();
    refused(root.access().create_binding(good()).await, Code::NotFound, "API_KEY_NOT_FOUND");
    for later in ["cert:spiffe://example.org/api", "jwt:ci:repo:a", "group:corp:ops"] {
        made(&root, CreateBindingRequest { principal: later.into(), ..good() }).await;
    }
    for id in ["", "abc", "ABCDEFGHIJKLMNOP"] {
        invalid(root.access().delete_binding(DeleteBindingRequest { id: id.into() }).await, &["id"]);
    }
    let unknown = DeleteBindingRequest { id: "abcdefghijklmnop".into() };
    refused(root.access().delete_binding(unknown).await, Code::NotFound, "BINDING_NOT_FOUND");
}

#[tokio::test]
async fn a_repeated_request_creates_one_binding() {
    let root = Caller::root(shared()).await;
    let (key, _) = bare_key(&root, &namespace()).await;
    let request_id = Uuid::new_v4().to_string();
    let request = CreateBindingRequest { request_id, ..bind(&key, "reader", "a", "") };
    let first = root.access().create_binding(request.clone()).await.unwrap().into_inner();
    assert_eq!(first.binding.as_ref().unwrap().name_pattern, "*");
    let other = CreateBindingRequest { role: "viewer".into(), ..request.clone() };
    refused(root.access().create_binding(other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
    remove(&root, first.binding.as_ref().unwrap()).await;
    let again = root.access().create_binding(request).await.unwrap().into_inner();
    assert_eq!(again, first, "the first outcome, though the binding is gone");
    let listed = ListBindingsRequest { principal: principal(&key), ..Default::default() };
    assert!(root.access().list_bindings(listed).await.unwrap().into_inner().items.is_empty());
}

#[tokio::test]
async fn keys_and_bindings_are_listed_in_pages() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let mut keys =
        vec![root.access().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner().api_key.unwrap().id];
    for n in 0..5 {
        keys.push(root.make_key(&format!("k{n}"), "a").await.0.id);
    }
    let (mut found, mut bound, mut token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let request = ListApiKeysRequest { limit: Some(4), page_token: token };
        let page = root.access().list_api_keys(request).await.unwrap().into_inner();
        assert!(page.items.len() <= 4);
        found.extend(page.items.into_iter().map(|key| key.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found, keys);
    loop {
        let request = ListBindingsRequest { limit: Some(4), page_token: token, ..Default::default() };
        let page = root.access().list_bindings(request).await.unwrap().into_inner();
        bound.extend(page.items.into_iter().map(|binding| binding.principal));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(bound, keys.iter().map(|id| format!("key:{id}")).collect::<Vec<_>>());
    let of = async |request: ListBindingsRequest| {
        root.access().list_bindings(request).await.unwrap().into_inner().items.len()
    };
    assert_eq!(of(ListBindingsRequest { role: "editor".into(), ..Default::default() }).await, 5);
    assert_eq!(of(ListBindingsRequest { namespace: "b".into(), ..Default::default() }).await, 1);
    assert_eq!(of(ListBindingsRequest { namespace: "a".into(), ..Default::default() }).await, 6);
    for limit in [0, -1, 1001] {
        let request = ListApiKeysRequest { limit: Some(limit), ..Default::default() };
        invalid(root.access().list_api_keys(request).await, &["limit"]);
    }
    let foreign = ListApiKeysRequest { page_token: "AAAA".into(), ..Default::default() };
    invalid(root.access().list_api_keys(foreign).await, &["page_token"]);
}
