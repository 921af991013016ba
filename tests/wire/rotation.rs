//! Rotation without downtime: staged versions, grace periods, the way back, policies, claims and acknowledgements.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use data_encoding::BASE64URL_NOPAD;
use prost_types::Duration;
use strongroom::api::v1::watch_secrets_response::Step;
use strongroom::api::v1::{
    AcknowledgeVersionRequest, ClaimRotationRequest, ClaimRotationResponse, Consumer, CreateApiKeyRequest,
    CreateBindingRequest, CreateSecretRequest, GetSecretRequest, KeyPairAlgorithm, PromoteVersionRequest,
    ReleaseRotationRequest, RotateSecretRequest, RotationPolicy, Secret, SecretEventType,
    UpdateSecretRequest, VersionState, WatchSecretsRequest,
};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::caller::{Caller, Credential, Room};
#[cfg(feature = "etcd")]
use crate::harness::Launch;
use crate::harness::PATIENCE;
use crate::refusal::{denied, invalid, not_found, reason_of, refused};
use crate::requests::{
    Value, create, describe, destroy, disable, get, key_pair, mask, pairs, password, random_uuid, rename,
    rotate, text, update,
};

const HOUR: Duration = seconds(3600);

const fn seconds(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

fn stage(name: &str, value: &str) -> RotateSecretRequest {
    RotateSecretRequest { stage: true, ..rotate(name, value) }
}

fn promotion(name: &str, version: u32) -> PromoteVersionRequest {
    PromoteVersionRequest { name: name.into(), version, ..Default::default() }
}

fn acknowledgement(name: &str, version: u32, consumer: &str) -> AcknowledgeVersionRequest {
    AcknowledgeVersionRequest { name: name.into(), version, consumer: consumer.into(), ..Default::default() }
}

fn with_policy(name: &str, policy: RotationPolicy) -> CreateSecretRequest {
    CreateSecretRequest { rotation_policy: Some(policy), ..create(name, "one") }
}

/// A policy of which a rotation is due a second after the creation.
fn soon() -> RotationPolicy {
    RotationPolicy { interval: Some(seconds(1)), ..Default::default() }
}

async fn rotated(caller: &Caller, request: RotateSecretRequest) -> (Secret, u32) {
    let reply = caller.secrets().rotate_secret(request).await.unwrap().into_inner();
    (reply.secret.unwrap(), reply.version)
}

async fn promoted(caller: &Caller, request: PromoteVersionRequest) -> Secret {
    caller.secrets().promote_version(request).await.unwrap().into_inner().secret.unwrap()
}

/// Claims a rotation as soon as one is due.
async fn claimed(caller: &Caller) -> ClaimRotationResponse {
    loop {
        match caller.secrets().claim_rotation(ClaimRotationRequest::default()).await {
            Ok(reply) => return reply.into_inner(),
            Err(status) => assert_eq!(reason_of(&status), "NO_ROTATION_DUE"),
        }
    }
}

async fn read(caller: &Caller, name: &str, version: u32) -> Result<Value, Status> {
    let request = GetSecretRequest { version: Some(version), ..get(name) };
    let reply = caller.secrets().get_secret(request).await?;
    Ok(Value::of(&reply.into_inner().secret.unwrap()))
}

#[tokio::test]
async fn a_staged_version_is_hidden_until_it_is_promoted() {
    let room = Room::open().await;
    room.create("A", "one").await;
    let (staged, version) = rotated(&room, stage("A", "two")).await;
    assert_eq!((version, staged.version, staged.pending_version), (2, 1, Some(2)));
    assert_eq!((staged.rotated_at, room.value("A").await), (None, Value::text("one")));
    let before = room.get("A").await;
    let hidden = GetSecretRequest { version: Some(2), ..get("A") };
    refused(room.secrets().get_secret(hidden).await, Code::FailedPrecondition, "VERSION_PENDING");
    let status = room.secrets().rotate_secret(stage("A", "three")).await;
    refused(status, Code::FailedPrecondition, "ROTATION_PENDING");
    let status = room.secrets().disable_version(disable("A", 2)).await;
    refused(status, Code::FailedPrecondition, "VERSION_PENDING");
    let status = room.secrets().acknowledge_version(acknowledgement("A", 2, "")).await;
    refused(status, Code::FailedPrecondition, "VERSION_PENDING");
    assert_eq!(room.get("A").await, before);
    assert_eq!(room.versions("A").await[0].state(), VersionState::Pending);

    let request = PromoteVersionRequest { grace_period: Some(HOUR), ..promotion("A", 2) };
    let secret = promoted(&room, request.clone()).await;
    assert_eq!((secret.version, secret.pending_version), (2, None));
    assert_eq!((secret.rotated_at, room.value("A").await), (secret.updated_at, Value::text("two")));
    let versions = room.versions("A").await;
    let states: Vec<_> = versions.iter().map(|version| (version.state(), version.current)).collect();
    assert_eq!(states, [(VersionState::Enabled, true), (VersionState::Enabled, false)]);
    let retires_at = versions[1].retires_at.unwrap().seconds;
    assert_eq!((retires_at, versions[0].retires_at), (secret.updated_at.unwrap().seconds + 3600, None));
    assert_eq!(room.version("A", 1).await, Value::text("one"));
    // Once more, nothing is changed.
    let again = room.secrets().promote_version(request).await.unwrap().into_inner();
    assert!(again.revision >= secret.revision);
    assert_eq!(again.secret.unwrap(), secret);
}

/// The metadata has one public key: that of the current version.
#[tokio::test]
async fn a_key_pair_is_not_staged() {
    let room = Room::open().await;
    let generate = key_pair(KeyPairAlgorithm::Ed25519);
    let made =
        room.create_with(CreateSecretRequest { value: None, generate: generate.clone(), ..create("A", "") });
    let policy = RotationPolicy { generator: generate.clone(), ..Default::default() };
    made.await;
    room.update(UpdateSecretRequest { rotation_policy: Some(policy), ..update("A") }).await;
    let before = (room.get("A").await, room.versions("A").await);
    for generate in [generate, None] {
        let request = RotateSecretRequest { value: None, generate, ..stage("A", "") };
        invalid(room.secrets().rotate_secret(request).await, &["stage"]);
        assert_eq!((room.get("A").await, room.versions("A").await), before);
    }
    // A private key that a caller has made can be staged, and its public key goes with the promotion.
    let mut elsewhere = create("B", "");
    (elsewhere.value, elsewhere.generate) = (None, key_pair(KeyPairAlgorithm::EcdsaP256));
    let elsewhere = room.create_with(elsewhere).await;
    let value = RotateSecretRequest { value: room.value("B").await.sent(), ..stage("A", "") };
    assert_eq!(rotated(&room, value).await.0.metadata, before.0.metadata);
    assert_eq!(promoted(&room, promotion("A", 2)).await.metadata, elsewhere.metadata);
}

#[tokio::test]
async fn a_pending_version_can_be_abandoned_and_a_direct_rotation_leaves_it() {
    let room = Room::open().await;
    room.create("A", "one").await;
    rotated(&room, stage("A", "two")).await;
    room.destroy("A", 2).await;
    assert_eq!(room.get("A").await.pending_version, None);
    let status = room.secrets().promote_version(promotion("A", 2)).await;
    refused(status, Code::FailedPrecondition, "VERSION_DESTROYED");
    assert_eq!(rotated(&room, stage("A", "three")).await.1, 3);
    let etag = room.get("A").await.etag;
    let (secret, version) = rotated(&room, rotate("A", "four")).await;
    assert_eq!((version, secret.version, secret.pending_version), (4, 4, Some(3)));
    // The one who staged it sees by the etag that another has rotated meanwhile, and can still promote it knowingly.
    let stale = PromoteVersionRequest { etag, ..promotion("A", 3) };
    refused(room.secrets().promote_version(stale).await, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(room.value("A").await, Value::text("four"));
    assert_eq!(promoted(&room, promotion("A", 3)).await.version, 3);
    assert_eq!(room.value("A").await, Value::text("three"));
    assert_eq!(rotated(&room, rotate("A", "five")).await.1, 5, "the next number is above all others");
}

#[tokio::test]
async fn the_grace_period_is_that_of_the_request_or_else_of_the_policy() {
    let room = Room::open().await;
    room.create("A", "one").await;
    room.rotate("A", "two").await;
    assert_eq!(room.versions("A").await[1].retires_at, None);
    let at_once = RotateSecretRequest { grace_period: Some(seconds(0)), ..rotate("A", "three") };
    rotated(&room, at_once).await;
    let former = GetSecretRequest { version: Some(2), ..get("A") };
    refused(room.secrets().get_secret(former).await, Code::FailedPrecondition, "VERSION_DISABLED");
    assert_eq!(room.version("A", 1).await, Value::text("one"));

    let policy = RotationPolicy { grace_period: Some(HOUR), ..Default::default() };
    room.update(UpdateSecretRequest { rotation_policy: Some(policy), ..update("A") }).await;
    let secret = room.update(UpdateSecretRequest { value: text("four"), ..update("A") }).await;
    let rotated_at = secret.rotated_at.unwrap().seconds;
    assert_eq!(room.versions("A").await[1].retires_at.unwrap().seconds, rotated_at + 3600);
    let day = RotateSecretRequest { grace_period: Some(seconds(86_400)), ..rotate("A", "five") };
    let rotated_at = rotated(&room, day).await.0.rotated_at.unwrap().seconds;
    assert_eq!(room.versions("A").await[1].retires_at.unwrap().seconds, rotated_at + 86_400);
    // A version that is enabled again after it was disabled at once has no grace period.
    room.enable("A", 2).await;
    assert_eq!(room.version("A", 2).await, Value::text("two"));
}

#[tokio::test]
async fn an_older_version_becomes_current_again() {
    let room = Room::open().await;
    room.create("A", "one").await;
    room.rotate("A", "two").await;
    let back = promoted(&room, PromoteVersionRequest { grace_period: Some(HOUR), ..promotion("A", 1) }).await;
    assert_eq!((back.version, back.rotated_at), (1, back.updated_at));
    assert_eq!(room.value("A").await, Value::text("one"));
    assert_eq!(room.version("A", 2).await, Value::text("two"));
    let versions = room.versions("A").await;
    assert!(versions[0].retires_at.is_some() && versions[1].current && versions[1].retires_at.is_none());
    room.rotate("A", "three").await;
    assert_eq!((room.get("A").await.version, room.value("A").await), (3, Value::text("three")));
    // Forward again, to a version within its grace period.
    assert_eq!(promoted(&room, promotion("A", 2)).await.version, 2);
    assert_eq!(room.versions("A").await[1].retires_at, None);
}

#[tokio::test]
async fn promotions_of_versions_that_cannot_be_current_change_nothing() {
    let room = Room::open().await;
    room.create("A", "one").await;
    room.rotate("A", "two").await;
    room.rotate("A", "three").await;
    room.disable("A", 1).await;
    room.destroy("A", 2).await;
    let before = room.get("A").await;
    let promote = async |version| room.secrets().promote_version(promotion("A", version)).await;
    invalid(promote(0).await, &["version"]);
    refused(promote(4).await, Code::NotFound, "VERSION_NOT_FOUND");
    refused(promote(1).await, Code::FailedPrecondition, "VERSION_DISABLED");
    refused(promote(2).await, Code::FailedPrecondition, "VERSION_DESTROYED");
    let lost = PromoteVersionRequest { claim_id: foreign_claim(), ..promotion("A", 3) };
    promoted(&room, lost).await; // it is the current one already
    let wrong = PromoteVersionRequest {
        name: "A".into(),
        version: 0,
        grace_period: Some(seconds(-1)),
        claim_id: "no claim".into(),
        request_id: "no".into(),
        ..Default::default()
    };
    let fields = ["claim_id", "grace_period", "request_id", "version"];
    invalid(room.secrets().promote_version(wrong).await, &fields);
    not_found(room.secrets().promote_version(promotion("absent", 1)).await, "absent");
    assert_eq!(room.get("A").await, before);
    room.delete("A").await;
    not_found(room.secrets().promote_version(promotion("A", 3)).await, "A");
    not_found(room.secrets().rotate_secret(stage("A", "v")).await, "A");
    not_found(room.secrets().acknowledge_version(acknowledgement("A", 3, "")).await, "A");
}

#[tokio::test]
async fn repeated_requests_return_the_first_outcome() {
    let room = Room::open().await;
    room.create("A", "one").await;
    let id = || Uuid::new_v4().to_string();
    let staging = RotateSecretRequest { request_id: id(), ..stage("A", "two") };
    let first = room.secrets().rotate_secret(staging.clone()).await.unwrap().into_inner();
    let promoting = PromoteVersionRequest { request_id: id(), ..promotion("A", 2) };
    let second = room.secrets().promote_version(promoting.clone()).await.unwrap().into_inner();
    room.rotate("A", "three").await;
    assert_eq!(room.secrets().rotate_secret(staging).await.unwrap().into_inner(), first);
    assert_eq!(room.secrets().promote_version(promoting).await.unwrap().into_inner(), second);
    assert_eq!(room.value("A").await, Value::text("three"));
}

#[tokio::test]
async fn an_expired_secret_is_not_rotated_promoted_or_acknowledged() {
    let room = Room::open().await;
    room.create_with(CreateSecretRequest { ttl: Some(seconds(1)), ..create("A", "one") }).await;
    loop {
        match room.secrets().get_secret(get("A")).await {
            Ok(_) => {}
            Err(status) => break assert_eq!(reason_of(&status), "SECRET_EXPIRED"),
        }
    }
    let expired = (Code::FailedPrecondition, "SECRET_EXPIRED");
    refused(room.secrets().rotate_secret(rotate("A", "two")).await, expired.0, expired.1);
    refused(room.secrets().rotate_secret(stage("A", "two")).await, expired.0, expired.1);
    refused(room.secrets().promote_version(promotion("A", 1)).await, expired.0, expired.1);
    let status = room.secrets().acknowledge_version(acknowledgement("A", 1, "")).await;
    refused(status, expired.0, expired.1);
    assert_eq!(room.versions("A").await.len(), 1);
}

#[tokio::test]
async fn a_policy_is_kept_replaced_and_cleared() {
    let room = Room::open().await;
    let policy = RotationPolicy {
        interval: Some(HOUR),
        generator: password(Some(20), "abc"),
        grace_period: Some(seconds(60)),
        window: String::new(),
        paused: false,
        retire_when_unread: true,
    };
    let secret = room.create_with(with_policy("A", policy.clone())).await;
    assert_eq!(secret.rotation_policy, Some(policy.clone()));
    let due = |secret: &Secret| secret.next_rotation_at.unwrap().seconds;
    assert_eq!(due(&secret), secret.created_at.unwrap().seconds + 3600);
    // Neither a value nor generate: the generator of the policy makes the value.
    let request = RotateSecretRequest { value: None, ..rotate("A", "") };
    rotated(&room, request.clone()).await;
    let Value::Text(generated) = room.value("A").await else { panic!("a password is text") };
    assert!(generated.len() == 20 && generated.bytes().all(|byte| b"abc".contains(&byte)));

    let set = |policy| UpdateSecretRequest { rotation_policy: Some(policy), ..update("A") };
    let paused = room.update(set(RotationPolicy { paused: true, ..policy.clone() })).await;
    let resumed = room.update(set(policy.clone())).await;
    assert_eq!(paused.next_rotation_at, resumed.next_rotation_at, "a pause keeps what is planned");
    let daily = RotationPolicy {
        interval: Some(seconds(86_400)),
        window: "02:00-04:00".into(),
        ..Default::default()
    };
    let secret = room.update(set(daily.clone())).await;
    assert_eq!(secret.rotation_policy, Some(daily), "the policy is replaced as a whole");
    assert!((7200..14_400).contains(&(due(&secret) % 86_400)));
    invalid(room.secrets().rotate_secret(request.clone()).await, &["value"]);
    let kept = room.update(describe("A", "still rotated")).await;
    assert_eq!(kept.next_rotation_at, secret.next_rotation_at);
    let cleared = UpdateSecretRequest { update_mask: mask(&["rotation_policy"]), ..update("A") };
    let secret = room.update(cleared).await;
    assert_eq!((secret.rotation_policy, secret.next_rotation_at), (None, None));
    invalid(room.secrets().rotate_secret(request).await, &["value"]);
    assert_eq!(room.value("A").await, Value::text(generated));
}

#[tokio::test]
async fn policies_that_cannot_be_followed_are_refused_by_the_part_that_is_wrong() {
    let room = Room::open().await;
    room.create("A", "one").await;
    let before = room.get("A").await;
    let years = |years: i64| seconds(years * 31_557_600);
    let nanos = |seconds, nanos| Duration { seconds, nanos };
    let interval = |interval| RotationPolicy { interval: Some(interval), ..Default::default() };
    let grace = |grace| RotationPolicy { grace_period: Some(grace), ..Default::default() };
    let window = |window: &str| RotationPolicy { window: window.into(), ..Default::default() };
    let mut cases: Vec<(RotationPolicy, &[&str])> = Vec::new();
    let too_short = [seconds(0), seconds(-5), nanos(0, 999_999_999), nanos(5, -1), nanos(1, 1_000_000_000)];
    for wrong in too_short.into_iter().chain([years(11), seconds(i64::MAX), seconds(i64::MIN)]) {
        cases.push((interval(wrong), &["rotation_policy.interval"]));
    }
    for wrong in [seconds(-1), nanos(0, -1), years(11), seconds(i64::MAX)] {
        cases.push((grace(wrong), &["rotation_policy.grace_period"]));
    }
    for wrong in ["02:00-02:00", "02:00", "25:00-26:00", "night", "02:00-04:00Z"] {
        cases.push((window(wrong), &["rotation_policy.window"]));
    }
    let unread = RotationPolicy { retire_when_unread: true, ..Default::default() };
    cases.push((unread, &["rotation_policy.retire_when_unread"]));
    let generator = RotationPolicy { generator: password(Some(7), ""), ..Default::default() };
    cases.push((generator, &["rotation_policy.generator"]));
    let all = RotationPolicy { interval: Some(seconds(-1)), window: "x".into(), ..Default::default() };
    cases.push((all, &["rotation_policy.interval", "rotation_policy.window"]));
    for (policy, fields) in cases {
        invalid(room.secrets().create_secret(with_policy("B", policy.clone())).await, fields);
        let request = UpdateSecretRequest { rotation_policy: Some(policy), ..describe("A", "changed") };
        invalid(room.secrets().update_secret(request).await, fields);
    }
    for grace_period in [seconds(-1), years(11)] {
        let request = RotateSecretRequest { grace_period: Some(grace_period), ..rotate("A", "two") };
        invalid(room.secrets().rotate_secret(request).await, &["grace_period"]);
    }
    let request = RotateSecretRequest { grace_period: Some(HOUR), ..stage("A", "two") };
    invalid(room.secrets().rotate_secret(request).await, &["grace_period"]);
    let request = RotateSecretRequest { value: None, return_value: true, ..rotate("A", "") };
    invalid(room.secrets().rotate_secret(request).await, &["return_value", "value"]);
    assert_eq!((room.get("A").await, room.names().await), (before, vec!["A".to_owned()]));
    // The limits themselves are accepted.
    for policy in [interval(seconds(1)), interval(years(10)), grace(seconds(0)), grace(years(10))] {
        let request = UpdateSecretRequest { rotation_policy: Some(policy), ..update("A") };
        room.update(request).await;
    }
}

#[tokio::test]
async fn a_worker_claims_stages_and_promotes() {
    let room = Room::open().await;
    let nothing = room.secrets().claim_rotation(ClaimRotationRequest::default()).await;
    refused(nothing, Code::NotFound, "NO_ROTATION_DUE");
    let etag = room.create_with(with_policy("A", soon())).await.etag;
    let claim = claimed(&room).await;
    let secret = claim.secret.clone().unwrap();
    assert_eq!((&*secret.name, claim.pending_version, &secret.etag), ("A", None, &etag));
    let shown = secret.rotation_claim.unwrap();
    assert_eq!(shown.principal, format!("key:{}", room.key.id));
    assert_eq!(shown.lease_expires_at, claim.lease_expires_at);
    assert_eq!(room.get("A").await.etag, etag, "a claim is no change of the secret");
    let second = room.secrets().claim_rotation(ClaimRotationRequest::default()).await;
    refused(second, Code::NotFound, "NO_ROTATION_DUE");

    let claim_id = claim.claim_id.clone();
    let staging = RotateSecretRequest { claim_id: claim_id.clone(), ..stage("A", "two") };
    rotated(&room, staging.clone()).await;
    let promoting = PromoteVersionRequest { claim_id: claim_id.clone(), ..promotion("A", 2) };
    let secret = promoted(&room, promoting.clone()).await;
    assert_eq!((secret.version, secret.rotation_claim.clone()), (2, None));
    assert_eq!(secret.next_rotation_at.unwrap().seconds, secret.updated_at.unwrap().seconds + 1);
    // The answer may have been lost: a repeat is right. The claim is over all the same.
    assert_eq!(promoted(&room, promoting).await.version, 2);
    let lost = (Code::FailedPrecondition, "CLAIM_LOST");
    refused(room.secrets().rotate_secret(staging).await, lost.0, lost.1);
    let back = PromoteVersionRequest { claim_id: claim_id.clone(), ..promotion("A", 1) };
    refused(room.secrets().promote_version(back).await, lost.0, lost.1);
    let release = ReleaseRotationRequest { claim_id, ..Default::default() };
    refused(room.secrets().release_rotation(release).await, lost.0, lost.1);
    assert_eq!(room.value("A").await, Value::text("two"));
}

/// Asserts that one of two requests at once was answered, and the other one refused for this reason; returns the answer, and which
/// request it is of.
#[track_caller]
fn one_won<T>(
    one: Result<Response<T>, Status>,
    other: Result<Response<T>, Status>,
    reason: &str,
) -> (T, usize) {
    let (won, lost, nth) = match (one, other) {
        (Ok(won), Err(lost)) => (won, lost, 0),
        (Err(lost), Ok(won)) => (won, lost, 1),
        (Ok(_), Ok(_)) => panic!("both have won"),
        (Err(one), Err(other)) => panic!("nobody has won: {one:?}, {other:?}"),
    };
    assert_eq!(reason_of(&lost), reason);
    (won.into_inner(), nth)
}

/// Two workers take the same rotations, stage, and promote, at once.
async fn race(callers: [Caller; 2]) {
    const SECRETS: usize = 25;
    let [one, other] = &callers;
    for number in 0..SECRETS {
        let name = format!("s{number:02}");
        one.create_with(with_policy(&name, soon())).await;
        // So that the version before the current one can be promoted, too.
        one.rotate(&name, "two").await;
    }
    let claims = Arc::new(Mutex::new(BTreeMap::new()));
    let mut workers = JoinSet::new();
    for caller in callers.clone() {
        let claims = claims.clone();
        workers.spawn(async move {
            while claims.lock().unwrap().len() < SECRETS {
                match caller.secrets().claim_rotation(ClaimRotationRequest::default()).await {
                    Ok(reply) => {
                        let reply = reply.into_inner();
                        let name = reply.secret.unwrap().name;
                        let before = claims.lock().unwrap().insert(name.clone(), reply.claim_id);
                        assert_eq!(before, None, "{name} was claimed twice");
                    }
                    Err(status) => assert_eq!(reason_of(&status), "NO_ROTATION_DUE"),
                }
            }
        });
    }
    workers.join_all().await;
    let claims = claims.lock().unwrap().clone();
    for (name, claim_id) in claims {
        let values = ["three of one", "three of the other"];
        let [first, second] =
            values.map(|value| RotateSecretRequest { claim_id: claim_id.clone(), ..stage(&name, value) });
        let (mut at_one, mut at_other) = (one.secrets(), other.secrets());
        let (first, second) = tokio::join!(at_one.rotate_secret(first), at_other.rotate_secret(second));
        let (staged, winner) = one_won(first, second, "ROTATION_PENDING");
        assert_eq!(staged.version, 3);

        let etag = staged.secret.unwrap().etag;
        let [first, second] =
            [3, 1].map(|version| PromoteVersionRequest { etag: etag.clone(), ..promotion(&name, version) });
        let (first, second) = tokio::join!(at_one.promote_version(first), at_other.promote_version(second));
        let (promoted, _) = one_won(first, second, "ETAG_MISMATCH");
        let promoted = promoted.secret.unwrap();
        for caller in &callers {
            let request = GetSecretRequest { min_revision: promoted.revision, ..get(&name) };
            let secret = caller.secrets().get_secret(request).await.unwrap().into_inner().secret.unwrap();
            let expected = if promoted.version == 3 { values[winner] } else { "one" };
            assert_eq!((secret.version, Value::of(&secret)), (promoted.version, Value::text(expected)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_callers_one_wins_each_claim_stage_and_promotion() {
    let room = Room::open().await;
    let beside = room.caller.at(crate::harness::shared()).await;
    race([room.caller.clone(), beside]).await;
}

#[cfg(feature = "etcd")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_callers_at_two_replicas_one_wins_each_claim_stage_and_promotion() {
    let Some(etcd) = crate::etcd_server::shared() else { return };
    let prefix = Uuid::new_v4().to_string();
    let one = Launch::in_etcd(&etcd.url(), &prefix).start();
    let key = one.data_dir.join("master.key").display().to_string();
    let other = Launch::in_etcd(&etcd.url(), &prefix).argument("--master-key-file").argument(key).start();
    let first = Caller::root(&one).await;
    let second = first.at(&other).await;
    race([first, second]).await;
}

/// The server refuses what a worker does whose lease has run out, whether another worker has the rotation already or not.
#[tokio::test]
async fn a_worker_whose_lease_has_run_out_stages_promotes_and_releases_nothing() {
    let room = Room::open().await;
    room.create_with(with_policy("A", soon())).await;
    let brief = ClaimRotationRequest { lease: Some(seconds(1)), ..Default::default() };
    let claim = async || loop {
        match room.secrets().claim_rotation(brief.clone()).await {
            Ok(reply) => return reply.into_inner(),
            Err(status) => assert_eq!(reason_of(&status), "NO_ROTATION_DUE"),
        }
    };
    let refused_as_lost = async |claim_id: &str| {
        let before = (room.get("A").await, room.versions("A").await);
        let claim_id = claim_id.to_owned();
        let request = RotateSecretRequest { claim_id: claim_id.clone(), ..stage("A", "of the dead") };
        refused(room.secrets().rotate_secret(request).await, Code::FailedPrecondition, "CLAIM_LOST");
        let request = PromoteVersionRequest { claim_id: claim_id.clone(), ..promotion("A", 2) };
        refused(room.secrets().promote_version(request).await, Code::FailedPrecondition, "CLAIM_LOST");
        for error in ["", "it failed"] {
            let request = ReleaseRotationRequest {
                claim_id: claim_id.clone(),
                error: error.into(),
                ..Default::default()
            };
            let released = room.secrets().release_rotation(request).await;
            refused(released, Code::FailedPrecondition, "CLAIM_LOST");
        }
        assert_eq!((room.get("A").await, room.versions("A").await), before);
    };
    let dead = claim().await.claim_id;
    let request = RotateSecretRequest { claim_id: dead.clone(), ..stage("A", "two") };
    assert_eq!(rotated(&room, request).await.1, 2);
    let over = async { while room.get("A").await.rotation_claim.is_some() {} };
    timeout(PATIENCE, over).await.expect("the claim goes with its lease");
    refused_as_lost(&dead).await;
    let next = claimed(&room).await;
    assert_eq!(next.pending_version, Some(2));
    refused_as_lost(&dead).await;
    let request = PromoteVersionRequest { claim_id: next.claim_id, ..promotion("A", 2) };
    assert_eq!(promoted(&room, request).await.version, 2);
}

#[tokio::test]
async fn a_direct_rotation_takes_the_claim_of_a_worker_away() {
    let room = Room::open().await;
    room.create_with(with_policy("A", soon())).await;
    let claim_id = claimed(&room).await.claim_id;
    rotated(&room, RotateSecretRequest { claim_id: claim_id.clone(), ..stage("A", "two") }).await;
    room.rotate("A", "three").await;
    let promoting = PromoteVersionRequest { claim_id, ..promotion("A", 2) };
    refused(room.secrets().promote_version(promoting).await, Code::FailedPrecondition, "CLAIM_LOST");
    assert_eq!(room.value("A").await, Value::text("three"));
    // The next worker is told of the version that was left pending.
    assert_eq!(claimed(&room).await.pending_version, Some(2));
}

#[tokio::test]
async fn a_made_up_claim_tells_nothing_and_a_worker_from_elsewhere_learns_that_its_claim_is_lost() {
    let room = Room::open().await;
    room.create_with(with_policy("A", soon())).await;
    let claim_id = claimed(&room).await.claim_id;
    let genuine = BASE64URL_NOPAD.decode(claim_id.as_bytes()).unwrap();
    // The ids of the namespace and the secret are right in the first one, and the id of the secret is none in the second one.
    let [mut of_secret, mut of_nothing] = [genuine.clone(), genuine];
    of_secret[32..].fill(7);
    of_nothing[16..].fill(7);
    let stranger = format!("{}/elsewhere", room.namespace);
    let (_, stranger) = room.root.make_key("stranger", &stranger).await;
    let release = |claim_id| ReleaseRotationRequest { claim_id, ..Default::default() };
    let mut told = Vec::new();
    for made_up in [of_secret, of_nothing] {
        let request = release(BASE64URL_NOPAD.encode(&made_up));
        for caller in [&stranger, &room.caller] {
            let reply = caller.secrets().release_rotation(request.clone()).await;
            told.push(refused(reply, Code::FailedPrecondition, "CLAIM_LOST").message().to_owned());
        }
    }
    assert!(told.iter().all(|message| *message == told[0]), "{told:?}");
    denied(stranger.secrets().release_rotation(release(claim_id.clone())).await);

    // A worker that may rotate here and nothing in its own namespace.
    let request = CreateApiKeyRequest {
        name: "worker".into(),
        home_namespace: format!("{}/workers", room.namespace),
        role: "none".into(),
        ..Default::default()
    };
    let made = room.root.access().create_api_key(request).await.unwrap().into_inner();
    let binding = CreateBindingRequest {
        principal: format!("key:{}", made.api_key.unwrap().id),
        role: "rotator".into(),
        namespace_pattern: room.namespace.clone(),
        ..Default::default()
    };
    room.root.access().create_binding(binding).await.unwrap();
    let worker = room.root.with(Credential::bearer(&made.credential));
    room.rotate("A", "two").await; // ends the claim
    refused(
        worker.secrets().release_rotation(release(claim_id)).await,
        Code::FailedPrecondition,
        "CLAIM_LOST",
    );
}

#[tokio::test]
async fn a_rotation_that_was_given_back_is_due_again() {
    let room = Room::open().await;
    room.create_with(with_policy("A", soon())).await;
    let first = claimed(&room).await.claim_id;
    let release = ReleaseRotationRequest { claim_id: first, ..Default::default() };
    let secret = room.secrets().release_rotation(release).await.unwrap().into_inner().secret.unwrap();
    assert_eq!((secret.rotation_claim, secret.rotation_failure), (None, None));
    let second = claimed(&room).await.claim_id;
    let error = "the database refused the password".to_owned();
    let failed = ReleaseRotationRequest {
        claim_id: second,
        error: error.clone(),
        retry_after: Some(seconds(3600)),
        ..Default::default()
    };
    let secret = room.secrets().release_rotation(failed).await.unwrap().into_inner().secret.unwrap();
    let failure = secret.rotation_failure.unwrap();
    assert_eq!((failure.attempts, &failure.error), (1, &error));
    assert_eq!(failure.retry_at.unwrap().seconds, failure.failed_at.unwrap().seconds + 3600);
    let status = room.secrets().claim_rotation(ClaimRotationRequest::default()).await;
    refused(status, Code::NotFound, "NO_ROTATION_DUE");
    // Rotated by hand, the failure is forgotten.
    assert_eq!(room.rotate("A", "two").await.rotation_failure, None);

    let wrong = ReleaseRotationRequest {
        claim_id: String::new(),
        error: "e".repeat(1025),
        retry_after: Some(seconds(-1)),
        ..Default::default()
    };
    invalid(room.secrets().release_rotation(wrong).await, &["claim_id", "error", "retry_after"]);
    let wrong = ReleaseRotationRequest {
        claim_id: foreign_claim(),
        error: String::new(),
        retry_after: Some(seconds(2_592_001)),
        ..Default::default()
    };
    invalid(room.secrets().release_rotation(wrong).await, &["retry_after"]);
    for lease in [seconds(0), seconds(-1), seconds(86_401), Duration { seconds: 0, nanos: 999_999_999 }] {
        let request = ClaimRotationRequest { lease: Some(lease), ..Default::default() };
        invalid(room.secrets().claim_rotation(request).await, &["lease"]);
    }
}

#[tokio::test]
async fn a_watch_tells_each_step_and_what_is_only_noted_keeps_the_etag() {
    let room = Room::open().await;
    room.create_with(with_policy("A", soon())).await;
    let request = WatchSecretsRequest::default();
    let mut events = room.secrets().watch_secrets(request).await.unwrap().into_inner();
    let mut told = async || loop {
        let reply = events.message().await.unwrap().unwrap();
        if let Some(Step::Event(event)) = reply.step {
            let kind = event.r#type();
            break (kind, event.secret.unwrap());
        }
    };
    assert_eq!(told().await.0, SecretEventType::RotationDue);
    let claim_id = claimed(&room).await.claim_id;
    let failed = ReleaseRotationRequest {
        claim_id,
        error: "no".into(),
        retry_after: Some(seconds(0)),
        ..Default::default()
    };
    room.secrets().release_rotation(failed).await.unwrap();
    let (kind, secret) = told().await;
    assert_eq!((kind, secret.rotation_failure.unwrap().attempts), (SecretEventType::RotationFailed, 1));
    let etag = secret.etag;
    assert_eq!(told().await.0, SecretEventType::RotationDue, "it is due again");
    let staging = RotateSecretRequest { etag, ..stage("A", "two") };
    rotated(&room, staging).await;
    let (kind, secret) = told().await;
    assert_eq!((kind, secret.pending_version), (SecretEventType::Staged, Some(2)));
    promoted(&room, promotion("A", 2)).await;
    assert_eq!(told().await.0, SecretEventType::Rotated);
}

#[tokio::test]
async fn a_claim_takes_only_what_matches_and_no_rotation_that_the_server_makes() {
    let room = Room::open().await;
    let tagged =
        |name, policy| CreateSecretRequest { metadata: pairs(&[("db", "pg")]), ..with_policy(name, policy) };
    room.create_with(with_policy("first", soon())).await;
    room.create_with(tagged("second", soon())).await;
    room.create_with(tagged("paused", RotationPolicy { paused: true, ..soon() })).await;
    room.create_with(tagged("generated", RotationPolicy { generator: random_uuid(), ..soon() })).await;
    room.create_with(tagged("on_request", RotationPolicy::default())).await;
    let with_pair = ClaimRotationRequest { metadata: pairs(&[("db", "pg")]), ..Default::default() };
    let claim = loop {
        match room.secrets().claim_rotation(with_pair.clone()).await {
            Ok(reply) => break reply.into_inner(),
            Err(status) => assert_eq!(reason_of(&status), "NO_ROTATION_DUE"),
        }
    };
    assert_eq!(claim.secret.unwrap().name, "second");
    let none = room.secrets().claim_rotation(with_pair).await;
    refused(none, Code::NotFound, "NO_ROTATION_DUE");
    let prefix = ClaimRotationRequest { name_prefix: "fir".into(), ..Default::default() };
    let claim = room.secrets().claim_rotation(prefix.clone()).await.unwrap().into_inner();
    assert_eq!(claim.secret.unwrap().name, "first");
    refused(room.secrets().claim_rotation(prefix).await, Code::NotFound, "NO_ROTATION_DUE");
    // Of a claim on one secret, nothing follows for another.
    let other = RotateSecretRequest { claim_id: claim.claim_id.clone(), ..rotate("second", "two") };
    refused(room.secrets().rotate_secret(other).await, Code::FailedPrecondition, "CLAIM_LOST");
    // A rename leaves the claim.
    room.update(rename("first", "renamed")).await;
    let moved = RotateSecretRequest { claim_id: claim.claim_id, ..rotate("renamed", "two") };
    assert_eq!(rotated(&room, moved).await.0.rotation_claim, None);

    let stranger = Room::open().await;
    let foreign = ClaimRotationRequest { namespace: room.namespace.clone(), ..Default::default() };
    denied(stranger.secrets().claim_rotation(foreign).await);
}

#[tokio::test]
async fn an_acknowledgement_is_shown_at_once_with_its_consumer() {
    let room = Room::open().await;
    room.create("A", "one").await;
    let before = room.get("A").await;
    let reply =
        room.secrets().acknowledge_version(acknowledgement("A", 1, "web 1")).await.unwrap().into_inner();
    let version = reply.version.unwrap();
    let principal = format!("key:{}", room.key.id);
    let [Consumer { acknowledged_at: Some(at), .. }] = version.consumers.as_slice() else {
        panic!("one consumer: {version:?}")
    };
    let expected = Consumer {
        principal: principal.clone(),
        last_read_at: None,
        acknowledged_at: Some(*at),
        consumer: "web 1".into(),
    };
    assert_eq!(version.consumers, [expected]);
    assert_eq!(room.versions("A").await, [version]);
    let reply = room.secrets().acknowledge_version(acknowledgement("A", 1, "")).await.unwrap().into_inner();
    assert!(reply.revision > before.revision);
    let names: Vec<_> =
        room.versions("A").await[0].consumers.iter().map(|consumer| consumer.consumer.clone()).collect();
    assert_eq!(names.len(), 2);
    assert_eq!(room.get("A").await, before, "it is no change of the secret");

    room.rotate("A", "two").await;
    room.disable("A", 1).await;
    let acknowledge =
        async |number| room.secrets().acknowledge_version(acknowledgement("A", number, "")).await;
    refused(acknowledge(1).await, Code::FailedPrecondition, "VERSION_DISABLED");
    room.secrets().destroy_version(destroy("A", 1)).await.unwrap();
    refused(acknowledge(1).await, Code::FailedPrecondition, "VERSION_DESTROYED");
    refused(acknowledge(9).await, Code::NotFound, "VERSION_NOT_FOUND");
    invalid(acknowledge(0).await, &["version"]);
    for consumer in ["x".repeat(129), "tab\t".into(), "é".into()] {
        let wrong = acknowledgement("A", 2, &consumer);
        invalid(room.secrets().acknowledge_version(wrong).await, &["consumer"]);
    }
    let stranger = Room::open().await;
    let foreign =
        AcknowledgeVersionRequest { namespace: room.namespace.clone(), ..acknowledgement("A", 2, "") };
    denied(stranger.secrets().acknowledge_version(foreign).await);
}

#[tokio::test]
async fn versions_within_their_grace_periods_are_not_removed_for_newer_ones() {
    let room = Room::open().await;
    room.create("A", "1").await;
    let graced = |value: &str| RotateSecretRequest { grace_period: Some(HOUR), ..rotate("A", value) };
    room.rotate("A", "2").await;
    for number in 3..=500 {
        rotated(&room, graced(&number.to_string())).await;
    }
    // Version 1 was not within a grace period, and 499 others are beside the current one: one too many but for it.
    let versions = room.versions("A").await;
    assert_eq!((versions.len(), versions.last().unwrap().number), (499, 2));
    rotated(&room, graced("501")).await;
    let before = room.get("A").await;
    let status = room.secrets().rotate_secret(graced("502")).await;
    let status = refused(status, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    assert!(status.message().contains("Shorten the grace period"), "{status:?}");
    assert_eq!((room.get("A").await, room.version("A", 2).await), (before, Value::text("2")));
    // One that is destroyed makes room.
    room.destroy("A", 2).await;
    rotated(&room, graced("502")).await;
    room.delete("A").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_read_without_a_failure_while_a_secret_is_rotated_with_grace() {
    let room = Room::open().await;
    room.create("A", "1").await;
    let rotates = Arc::new(AtomicBool::new(true));
    let mut consumers = JoinSet::new();
    for _ in 0..8 {
        let (caller, rotates) = (room.caller.clone(), rotates.clone());
        consumers.spawn(async move {
            let (mut last, mut reads) = (1, 0_u64);
            while rotates.load(Ordering::Relaxed) || reads < 10 {
                let secret = caller.get("A").await;
                assert_eq!(Value::of(&secret), Value::text(secret.version.to_string()));
                assert!(secret.version >= last, "the value never goes back");
                // By its number, the version that it knew is still there.
                assert_eq!(read(&caller, "A", last).await.unwrap(), Value::text(last.to_string()));
                last = secret.version;
                reads += 1;
            }
            (last, reads)
        });
    }
    const ROTATIONS: u32 = 200;
    let mut rotations = 0;
    for number in 2..2 + ROTATIONS {
        let grace_period = Some(HOUR);
        let (_, version) = if number % 2 == 0 {
            rotated(&room, stage("A", &number.to_string())).await;
            (promoted(&room, PromoteVersionRequest { grace_period, ..promotion("A", number) }).await, number)
        } else {
            rotated(&room, RotateSecretRequest { grace_period, ..rotate("A", &number.to_string()) }).await
        };
        assert_eq!(version, number);
        rotations += 1;
    }
    assert_eq!(rotations, 200);
    rotates.store(false, Ordering::Relaxed);
    for (last, reads) in consumers.join_all().await {
        assert!(last <= 1 + ROTATIONS && reads >= 10);
    }
    assert_eq!(room.get("A").await.version, 1 + ROTATIONS);
    assert_eq!(room.versions("A").await.len(), 201, "each former version is within its grace period");
}

/// A claim id of the right form that nobody was given.
fn foreign_claim() -> String {
    "A".repeat(64)
}
