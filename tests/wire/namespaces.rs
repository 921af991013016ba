//! Namespaces: which ones are legal, what the empty one means, and who sees which in a list.

use strongroom::api::v1::{
    CreateApiKeyRequest, CreateBindingRequest, CreateSecretRequest, DeleteSecretRequest, Effect,
    GetSecretRequest, ListNamespacesRequest, ListNamespacesResponse, ListSecretsRequest, RotateSecretRequest,
    UpdateSecretRequest,
};

use crate::caller::{Caller, Credential, Room};
use crate::harness::shared;
use crate::refusal::{denied, invalid, not_found};
use crate::requests::{Value, create, delete, describe, get, list, rotate};

const ILLEGAL: [&str; 22] = [
    "A",
    "teamA",
    "/",
    "/a",
    "a/",
    "a//b",
    "-a",
    "a/-b",
    "a_b",
    "a.b",
    ".",
    "..",
    "a/../b",
    "a b",
    " ",
    "é",
    "a\n",
    "a\0",
    "*",
    "a:b",
    "a\\b",
    "1/2/3/4/5/6/7/8/9",
];

#[tokio::test]
async fn every_legal_namespace_holds_secrets_of_its_own() {
    let root = Caller::root(shared()).await;
    let (longest, deepest) = ("n".repeat(63), "seg/seg/seg/seg/seg/seg/seg/seg".to_owned());
    let largest = [longest.as_str(); 8].join("/");
    let legal = ["a", "0", "a-", "a--b", "9z", "a/b", "a/b/c", "default", &longest, &deepest, &largest];
    for namespace in legal {
        let request =
            CreateSecretRequest { namespace: namespace.into(), ..create("namespaces_test", namespace) };
        assert_eq!(root.create_with(request).await.namespace, namespace);
    }
    for namespace in legal {
        let request = GetSecretRequest { namespace: namespace.into(), ..get("namespaces_test") };
        let secret = root.secrets().get_secret(request).await.unwrap().into_inner().secret.unwrap();
        assert_eq!((Value::of(&secret), secret.namespace.as_str()), (Value::text(namespace), namespace));
    }
}

#[tokio::test]
async fn every_call_refuses_every_illegal_namespace() {
    let root = Caller::root(shared()).await;
    let too_long = "n".repeat(64);
    for namespace in ILLEGAL.into_iter().chain([too_long.as_str()]) {
        let namespace = || namespace.to_owned();
        let field = &["namespace"];
        let request = CreateSecretRequest { namespace: namespace(), ..create("A", "v") };
        invalid(root.secrets().create_secret(request).await, field);
        let request = GetSecretRequest { namespace: namespace(), ..get("A") };
        invalid(root.secrets().get_secret(request).await, field);
        let request = ListSecretsRequest { namespace: namespace(), ..list() };
        invalid(root.secrets().list_secrets(request).await, field);
        let request = UpdateSecretRequest { namespace: namespace(), ..describe("A", "d") };
        invalid(root.secrets().update_secret(request).await, field);
        let request = DeleteSecretRequest { namespace: namespace(), ..delete("A") };
        invalid(root.secrets().delete_secret(request).await, field);
        let request = RotateSecretRequest { namespace: namespace(), ..rotate("A", "v") };
        invalid(root.secrets().rotate_secret(request).await, field);
    }
}

#[tokio::test]
async fn the_empty_namespace_is_the_callers_home() {
    let room = Room::open().await;
    room.create("namespaces_home", "v").await;
    let request = GetSecretRequest { namespace: room.namespace.clone(), ..get("namespaces_home") };
    let secret = room.root.secrets().get_secret(request).await.unwrap().into_inner().secret.unwrap();
    assert_eq!(secret, room.get("namespaces_home").await);

    // The root key is at home in `default`.
    not_found(room.root.secrets().get_secret(get("namespaces_home")).await, "namespaces_home");
    let made = room.root.create("namespaces_root_home", "v").await;
    assert_eq!(made.namespace, "default");
}

#[tokio::test]
async fn listing_a_namespace_without_secrets_is_no_error() {
    let room = Room::open().await;
    let request = ListSecretsRequest { namespace: format!("{}/nothing/here", room.namespace), ..list() };
    let page = room.root.list(request.clone()).await;
    assert_eq!((page.items.len(), page.total_size), (0, 0));
    let request = GetSecretRequest { namespace: request.namespace, ..get("A") };
    not_found(room.root.secrets().get_secret(request).await, "A");
}

fn below(namespace: &str) -> ListNamespacesRequest {
    ListNamespacesRequest { below: namespace.into(), ..Default::default() }
}

async fn namespaces(caller: &Caller, request: ListNamespacesRequest) -> ListNamespacesResponse {
    caller.secrets().list_namespaces(request).await.unwrap().into_inner()
}

/// The names on a page, with the numbers of secrets and of deleted ones.
fn counted(page: &ListNamespacesResponse) -> Vec<(&str, i32, i32)> {
    page.items.iter().map(|item| (item.name.as_str(), item.secrets, item.deleted_secrets)).collect()
}

/// A key without a binding, and its caller.
async fn bare(room: &Room) -> (String, Caller) {
    let request = CreateApiKeyRequest {
        name: "bare".into(),
        home_namespace: room.namespace.clone(),
        role: "none".into(),
        ..Default::default()
    };
    let made = room.root.access().create_api_key(request).await.unwrap().into_inner();
    let caller = room.root.with(Credential::bearer(&made.credential));
    (format!("key:{}", made.api_key.unwrap().id), caller)
}

#[tokio::test]
async fn a_list_of_namespaces_shows_and_counts_what_may_be_listed() {
    let room = Room::open().await;
    let top = room.namespace.as_str();
    let within = |below: &str| format!("{top}{below}");
    let secrets = [
        ("", "db_a"),
        ("", "api_a"),
        ("/b", "db_a"),
        ("/b", "db_b"),
        ("/b/c", "api_a"),
        ("/d", "db_gone"),
        ("-beside", "db_a"),
    ];
    for (namespace, name) in secrets {
        let request = CreateSecretRequest { namespace: within(namespace), ..create(name, "v") };
        room.root.create_with(request).await;
    }
    let gone = DeleteSecretRequest { namespace: within("/d"), ..delete("db_gone") };
    room.root.secrets().delete_secret(gone).await.unwrap();

    let all = namespaces(&room.root, below(top)).await;
    let names = [within("/b"), within("/b/c"), within("/d")];
    let (b, c, d) = (names[0].as_str(), names[1].as_str(), names[2].as_str());
    assert_eq!(counted(&all), [(top, 2, 0), (b, 2, 0), (c, 1, 0), (d, 0, 1)]);
    assert_eq!((all.next_page_token.as_str(), all.damaged_size), ("", 0));
    assert!(all.revision > 0);
    // The key of the room has its home alone, whatever it asks for.
    for request in [below(""), below(top)] {
        assert_eq!(counted(&namespaces(&room, request).await), [(top, 2, 0)]);
    }
    assert_eq!(counted(&namespaces(&room, below(b)).await), []);

    // Of some names, only namespaces are shown in which there are such secrets.
    let (principal, caller) = bare(&room).await;
    denied(caller.secrets().list_namespaces(below("")).await);
    let bind = |effect: Effect, namespaces: &str, names: &str| CreateBindingRequest {
        principal: principal.clone(),
        role: "viewer".into(),
        namespace_pattern: namespaces.into(),
        name_pattern: names.into(),
        effect: effect.into(),
        ..Default::default()
    };
    room.root.access().create_binding(bind(Effect::Allow, &within("/**"), "db_*")).await.unwrap();
    assert_eq!(counted(&namespaces(&caller, below("")).await), [(top, 1, 0), (b, 2, 0), (d, 0, 1)]);
    room.root.access().create_binding(bind(Effect::Deny, b, "*_b")).await.unwrap();
    room.root.access().create_binding(bind(Effect::Deny, d, "*")).await.unwrap();
    assert_eq!(counted(&namespaces(&caller, below("")).await), [(top, 1, 0), (b, 1, 0)]);
    room.root.access().create_binding(bind(Effect::Allow, &within("/empty"), "*")).await.unwrap();
    assert_eq!(
        namespaces(&caller, below("")).await.items.len(),
        2,
        "a namespace begins with its first secret"
    );
    let request = CreateSecretRequest { namespace: within("/empty"), ..create("A", "v") };
    room.root.create_with(request).await;
    assert_eq!(namespaces(&caller, below("")).await.items.len(), 3);
}

#[tokio::test]
async fn namespaces_are_listed_page_by_page() {
    let room = Room::open().await;
    let mut expected = Vec::new();
    for n in 0..7 {
        let namespace = format!("{}/n{n}", room.namespace);
        room.root.create_with(CreateSecretRequest { namespace: namespace.clone(), ..create("A", "v") }).await;
        expected.push(namespace);
    }
    let first = ListNamespacesRequest { limit: Some(3), ..below(&room.namespace) };
    let (mut request, mut found, mut sizes) = (first.clone(), Vec::new(), Vec::new());
    loop {
        let page = namespaces(&room.root, request.clone()).await;
        sizes.push(page.items.len());
        found.extend(page.items.into_iter().map(|item| item.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!((found, sizes), (expected, vec![3, 3, 1]));

    // A token is of its query and its caller.
    let token = namespaces(&room.root, first.clone()).await.next_page_token;
    let other = ListNamespacesRequest { page_token: token.clone(), ..below("") };
    invalid(room.root.secrets().list_namespaces(other).await, &["page_token"]);
    let own = ListNamespacesRequest { page_token: token, ..first.clone() };
    invalid(room.secrets().list_namespaces(own).await, &["page_token"]);
    for limit in [0, -1, 1001] {
        let request = ListNamespacesRequest { limit: Some(limit), ..first.clone() };
        invalid(room.root.secrets().list_namespaces(request).await, &["limit"]);
    }
    for namespace in ILLEGAL {
        invalid(room.root.secrets().list_namespaces(below(namespace)).await, &["below"]);
    }
    let request = ListNamespacesRequest { consistency: 9, ..first };
    invalid(room.root.secrets().list_namespaces(request).await, &["consistency"]);
}
