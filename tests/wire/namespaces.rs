//! Namespaces: which ones are legal, and what the empty one means.

use strongroom::api::v1::{
    CreateSecretRequest, DeleteSecretRequest, GetSecretRequest, ListSecretsRequest, RotateSecretRequest,
    UpdateSecretRequest,
};

use crate::caller::{Caller, Room};
use crate::harness::shared;
use crate::refusal::{invalid, not_found};
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
