//! `min_revision` on changes: a change is made from a state of that revision or a later one, or not at all.

use std::future::Future;

use strongroom::api::v1::{
    AcknowledgeVersionRequest, ClaimRotationRequest, CreateSecretRequest, DeleteSecretRequest,
    DestroyVersionRequest, DisableVersionRequest, EnableVersionRequest, PromoteVersionRequest,
    RotateSecretRequest, UndeleteSecretRequest, UpdateSecretRequest,
};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::caller::Room;
use crate::refusal::refused;
use crate::requests::{create, delete, describe, destroy, disable, enable, list, rotate};

/// A revision that no test reaches.
const AHEAD: u64 = 1 << 40;

#[tokio::test]
async fn a_change_from_a_revision_that_is_not_reached_is_not_made() {
    let room = Room::open().await;
    room.create("a", "v").await;
    room.rotate("a", "w").await;
    room.disable("a", 1).await;
    let before = room.get("a").await;
    let min_revision = AHEAD;
    let name = String::from("a");
    let secrets = || room.secrets();
    let mut of = [(); 9].map(|()| secrets());
    let [create_, update, delete_, rotate_, promote, acknowledge, disable_, enable_, destroy_] = &mut of;
    let promotion =
        PromoteVersionRequest { name: name.clone(), version: 2, min_revision, ..Default::default() };
    let acknowledgement = AcknowledgeVersionRequest { name, version: 2, min_revision, ..Default::default() };
    // All at once: each of them waits for a while.
    let refusals = tokio::join!(
        outcome(create_.create_secret(CreateSecretRequest { min_revision, ..create("b", "v") })),
        outcome(update.update_secret(UpdateSecretRequest { min_revision, ..describe("a", "d") })),
        outcome(delete_.delete_secret(DeleteSecretRequest { min_revision, ..delete("a") })),
        outcome(rotate_.rotate_secret(RotateSecretRequest { min_revision, ..rotate("a", "x") })),
        outcome(promote.promote_version(promotion)),
        outcome(acknowledge.acknowledge_version(acknowledgement)),
        outcome(disable_.disable_version(DisableVersionRequest { min_revision, ..disable("a", 2) })),
        outcome(enable_.enable_version(EnableVersionRequest { min_revision, ..enable("a", 1) })),
        outcome(destroy_.destroy_version(DestroyVersionRequest { min_revision, ..destroy("a", 1) })),
        async {
            let claim = ClaimRotationRequest { min_revision, ..Default::default() };
            outcome(secrets().claim_rotation(claim)).await
        },
        async {
            let id = Uuid::now_v7().to_string();
            let undelete = UndeleteSecretRequest { id, min_revision, ..Default::default() };
            outcome(secrets().undelete_secret(undelete)).await
        },
    );
    let (a, b, c, d, e, f, g, h, i, j, k) = refusals;
    for refusal in [a, b, c, d, e, f, g, h, i, j, k] {
        refused(refusal.map(Response::new), Code::Unavailable, "STORE_UNAVAILABLE");
    }
    assert_eq!(room.get("a").await, before);
    assert_eq!(room.list(list()).await.total_size, 1);
}

async fn outcome<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<(), Status> {
    call.await.map(drop)
}

#[tokio::test]
async fn a_repeat_may_ask_for_another_revision() {
    let room = Room::open().await;
    let made = room.create("a", "v").await;
    let fresh = || Uuid::new_v4().to_string();
    let mut secrets = room.secrets();

    let request = CreateSecretRequest { request_id: fresh(), min_revision: 1, ..create("b", "v") };
    let first = secrets.create_secret(request.clone()).await.unwrap().into_inner().revision;
    let again = CreateSecretRequest { min_revision: made.revision, ..request };
    assert_eq!(secrets.create_secret(again).await.unwrap().into_inner().revision, first);

    let request = UpdateSecretRequest { request_id: fresh(), ..describe("a", "d") };
    let first = secrets.update_secret(request.clone()).await.unwrap().into_inner().revision;
    let again = UpdateSecretRequest { min_revision: first, ..request };
    assert_eq!(secrets.update_secret(again).await.unwrap().into_inner().revision, first);

    let request = RotateSecretRequest { request_id: fresh(), ..rotate("a", "w") };
    let first = secrets.rotate_secret(request.clone()).await.unwrap().into_inner().revision;
    let again = RotateSecretRequest { min_revision: first, ..request };
    assert_eq!(secrets.rotate_secret(again).await.unwrap().into_inner().revision, first);

    let name = "a".to_owned();
    let request = PromoteVersionRequest { name, version: 1, request_id: fresh(), ..Default::default() };
    let first = secrets.promote_version(request.clone()).await.unwrap().into_inner().revision;
    let again = PromoteVersionRequest { min_revision: first, ..request };
    assert_eq!(secrets.promote_version(again).await.unwrap().into_inner().revision, first);

    let request = DisableVersionRequest { request_id: fresh(), ..disable("a", 2) };
    let first = secrets.disable_version(request.clone()).await.unwrap().into_inner().revision;
    let again = DisableVersionRequest { min_revision: first, ..request };
    assert_eq!(secrets.disable_version(again).await.unwrap().into_inner().revision, first);

    let request = EnableVersionRequest { request_id: fresh(), ..enable("a", 2) };
    let first = secrets.enable_version(request.clone()).await.unwrap().into_inner().revision;
    let again = EnableVersionRequest { min_revision: first, ..request };
    assert_eq!(secrets.enable_version(again).await.unwrap().into_inner().revision, first);

    let request = DestroyVersionRequest { request_id: fresh(), ..destroy("a", 2) };
    let first = secrets.destroy_version(request.clone()).await.unwrap().into_inner().revision;
    let again = DestroyVersionRequest { min_revision: first, ..request };
    assert_eq!(secrets.destroy_version(again).await.unwrap().into_inner().revision, first);

    let request = DeleteSecretRequest { request_id: fresh(), ..delete("a") };
    let deleted = secrets.delete_secret(request.clone()).await.unwrap().into_inner();
    let again = DeleteSecretRequest { min_revision: deleted.revision, ..request };
    assert_eq!(secrets.delete_secret(again).await.unwrap().into_inner().revision, deleted.revision);

    let request = UndeleteSecretRequest { id: deleted.id, request_id: fresh(), ..Default::default() };
    let first = secrets.undelete_secret(request.clone()).await.unwrap().into_inner().revision;
    let again = UndeleteSecretRequest { min_revision: first, ..request };
    assert_eq!(secrets.undelete_secret(again).await.unwrap().into_inner().revision, first);
}
