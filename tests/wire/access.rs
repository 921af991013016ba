//! Rights: the calls of an ordinary key, the calls of the root key alone, and the order in which a request is checked.

use strongroom::api::v1::{
    CreateApiKeyRequest, CreateSecretRequest, DeleteSecretRequest, GetSecretRequest, GetStatusRequest,
    ListApiKeysRequest, ListSecretsRequest, RevokeApiKeyRequest, Right, RotateSecretRequest,
    UpdateSecretRequest, View, WhoAmIRequest,
};
use tonic::Status;
use tonic_types::StatusExt;

use crate::caller::{Caller, Room};
use crate::harness::Server;
use crate::refusal::denied;
use crate::requests::{MAX_VALUE, binary, create, delete, describe, get, list, rotate};

#[tokio::test]
async fn an_ordinary_key_is_denied_every_call_in_another_namespace() {
    let (mine, theirs) = (Room::open().await, Room::open().await);
    theirs.create("there", "v").await;
    let before = theirs.get("there").await;
    let sub = format!("{}/sub", mine.namespace);
    let longer = format!("{}x", mine.namespace);
    for namespace in [theirs.namespace.as_str(), "default", &sub, &longer] {
        for (call, reply) in attempts(&mine, namespace, "there").await {
            let Err(status) = reply else { panic!("{call} in {namespace} was answered") };
            denied::<()>(Err(status));
        }
    }
    assert_eq!(theirs.get("there").await, before);
    assert_eq!(theirs.names().await, ["there"]);
}

#[tokio::test]
async fn a_denial_does_not_tell_whether_the_secret_exists() {
    let (mine, theirs) = (Room::open().await, Room::open().await);
    theirs.create("there", "v").await;
    let present = attempts(&mine, &theirs.namespace, "there").await;
    let absent = attempts(&mine, &theirs.namespace, "never").await;
    let nowhere = attempts(&mine, &format!("{}/none", theirs.namespace), "never").await;
    let tells = |reply: Result<(), Status>| {
        let status = denied(reply.map(tonic::Response::new));
        let details = (status.get_details_resource_info(), status.get_details_bad_request());
        let told = format!("{} {details:?}", status.message());
        told.replace("there", "NAME").replace("never", "NAME").replace("/none", "")
    };
    for (((call, present), (_, absent)), (_, nowhere)) in present.into_iter().zip(absent).zip(nowhere) {
        let present = tells(present);
        assert_eq!(present, tells(absent), "{call}");
        assert_eq!(present, tells(nowhere), "{call}");
    }
}

#[tokio::test]
async fn authorization_comes_before_validation() {
    let (mine, theirs) = (Room::open().await, Room::open().await);
    // The contract does not say whether an illegal namespace is denied or invalid.
    for namespace in [theirs.namespace.as_str(), "default"] {
        for (call, reply) in attempts(&mine, namespace, "in valid").await {
            let Err(status) = reply else { panic!("{call} in {namespace} was answered") };
            denied::<()>(Err(status));
        }
        let large = CreateSecretRequest {
            namespace: namespace.into(),
            value: binary(vec![0; MAX_VALUE + 1]),
            request_id: "not a uuid".into(),
            ..create("1", "")
        };
        denied(mine.secrets().create_secret(large).await);
        let page = ListSecretsRequest { namespace: namespace.into(), limit: Some(0), ..list() };
        denied(mine.secrets().list_secrets(page).await);
        let deleted = ListSecretsRequest { namespace: namespace.into(), include_deleted: true, ..list() };
        denied(mine.secrets().list_secrets(deleted).await);
    }
}

#[tokio::test]
async fn an_ordinary_key_may_do_everything_in_its_home() {
    let room = Room::open().await;
    for namespace in ["", room.namespace.as_str()] {
        for (call, reply) in attempts(&room, namespace, "A").await {
            reply.unwrap_or_else(|refusal| panic!("{call} in {namespace:?}: {refusal:?}"));
        }
    }
}

#[tokio::test]
async fn the_root_key_may_do_everything_everywhere() {
    let room = Room::open().await;
    for namespace in [room.namespace.clone(), format!("{}/brand/new", room.namespace)] {
        for (call, reply) in attempts(&room.root, &namespace, "A").await {
            reply.unwrap_or_else(|refusal| panic!("{call} in {namespace:?}: {refusal:?}"));
        }
    }
}

#[tokio::test]
async fn an_ordinary_key_manages_no_keys_and_sees_no_status() {
    let room = Room::open().await;
    let request = CreateApiKeyRequest { name: "a second".into(), ..Default::default() };
    denied(room.access().create_api_key(request).await);
    denied(room.access().create_api_key(CreateApiKeyRequest::default()).await);
    denied(room.access().list_api_keys(ListApiKeysRequest::default()).await);
    for id in [room.key.id.as_str(), "", "0123456789abcdef"] {
        denied(room.access().revoke_api_key(RevokeApiKeyRequest { id: id.into() }).await);
    }
    denied(room.operator().get_status(GetStatusRequest {}).await);
    // It may not even revoke itself.
    room.create("A", "v").await;
}

#[tokio::test]
async fn who_am_i_tells_an_ordinary_key_its_home_and_rights() {
    let room = Room::open().await;
    let me = room.access().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner();
    let mut rights: Vec<Right> = me.rights().collect();
    rights.sort();
    assert_eq!(rights, [Right::List, Right::Read, Right::Write, Right::Rotate, Right::Delete]);
    assert_eq!(me.principal, format!("key:{}", room.key.id));
    let key = me.api_key.unwrap();
    assert_eq!(key, room.key);
    assert_eq!(
        (key.home_namespace.as_str(), key.root, key.name.as_str()),
        (room.namespace.as_str(), false, "a test")
    );
}

#[tokio::test]
async fn who_am_i_tells_the_root_key_that_it_may_do_everything() {
    let room = Room::open().await;
    let me = room.root.access().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner();
    let mut rights: Vec<Right> = me.rights().collect();
    rights.sort();
    let every = [
        Right::List,
        Right::Read,
        Right::Write,
        Right::Rotate,
        Right::ManageAccess,
        Right::Audit,
        Right::Operate,
        Right::Delete,
    ];
    assert_eq!(rights, every);
    let key = me.api_key.unwrap();
    assert!(key.root);
    assert_eq!((key.home_namespace.as_str(), key.expires_at, key.revoked_at), ("default", None, None));
    assert_eq!(me.principal, format!("key:{}", key.id));
}

#[tokio::test]
async fn the_status_counts_what_is_there() {
    let server = Server::alone();
    let root = Caller::root(&server).await;
    let status = async || root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
    let empty = status().await;
    assert_eq!((empty.secrets, empty.namespaces, empty.damaged_records), (0, 0, 0));
    assert_eq!(empty.server_version, env!("CARGO_PKG_VERSION"));
    assert!(["memory", "sled", "etcd"].contains(&empty.store.as_str()), "{}", empty.store);

    for (namespace, name) in [("one", "A"), ("one", "B"), ("two", "A")] {
        root.create_with(CreateSecretRequest { namespace: namespace.into(), ..create(name, "v") }).await;
    }
    root.secrets()
        .delete_secret(DeleteSecretRequest { namespace: "one".into(), ..delete("A") })
        .await
        .unwrap();
    let filled = status().await;
    assert_eq!((filled.secrets, filled.namespaces, filled.damaged_records), (2, 2, 0));
    assert!(filled.revision > empty.revision);
    assert_eq!(filled.started_at, empty.started_at);
}

/// Every call on secrets, in an order in which all of them succeed if they are allowed.
async fn attempts(caller: &Caller, namespace: &str, name: &str) -> Vec<(&'static str, Result<(), Status>)> {
    let namespace = || namespace.to_owned();
    let mut secrets = caller.secrets();
    let mut replies = Vec::new();
    let request = CreateSecretRequest { namespace: namespace(), ..create(name, "v") };
    replies.push(("CreateSecret", secrets.create_secret(request).await.map(drop)));
    let request = GetSecretRequest { namespace: namespace(), ..get(name) };
    replies.push(("GetSecret", secrets.get_secret(request.clone()).await.map(drop)));
    let request = GetSecretRequest { view: View::Metadata.into(), ..request };
    replies.push(("GetSecret, metadata", secrets.get_secret(request).await.map(drop)));
    let request = ListSecretsRequest { namespace: namespace(), ..list() };
    replies.push(("ListSecrets", secrets.list_secrets(request).await.map(drop)));
    let request = UpdateSecretRequest { namespace: namespace(), ..describe(name, "changed") };
    replies.push(("UpdateSecret", secrets.update_secret(request).await.map(drop)));
    let request = RotateSecretRequest { namespace: namespace(), ..rotate(name, "w") };
    replies.push(("RotateSecret", secrets.rotate_secret(request).await.map(drop)));
    let request = DeleteSecretRequest { namespace: namespace(), ..delete(name) };
    replies.push(("DeleteSecret", secrets.delete_secret(request).await.map(drop)));
    replies
}
