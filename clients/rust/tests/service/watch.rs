//! A watch continues by itself: what it asks for when its stream ends, and what it returns then.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_client::v1::watch_secrets_response::Step as Sent;
use strongroom_client::v1::{
    BatchGetSecretsRequest, BatchGetSecretsResponse, ClaimRotationRequest, Secret, SecretEvent,
    SecretEventType, WatchBookmark, WatchSecretsRequest, WatchSecretsResponse,
};

use strongroom_client::{Code, ErrorReason, RetryPolicy, Step, Watch};
use tonic_types::ErrorDetails;

use crate::fake::{Answer, Fake};

/// The event of a secret; `resume` is the revision that a watch continues with after it.
fn event(kind: SecretEventType, id: &str, revision: u64, resume: u64) -> WatchSecretsResponse {
    let secret = Secret { id: id.into(), name: format!("name_{id}"), ..Secret::default() };
    let event = SecretEvent {
        r#type: kind.into(),
        secret: Some(secret),
        revision,
        former_name: None,
        resume_revision: resume,
        occurred_at: None,
    };
    WatchSecretsResponse { step: Some(Sent::Event(event)) }
}

fn changed(id: &str, revision: u64, resume: u64) -> WatchSecretsResponse {
    event(SecretEventType::Updated, id, revision, resume)
}

fn bookmark(revision: u64, synced: bool) -> WatchSecretsResponse {
    WatchSecretsResponse { step: Some(Sent::Bookmark(WatchBookmark { revision, synced })) }
}

fn lagged() -> Option<Answer> {
    Some(Answer::refusal(Code::Unavailable, "WATCH_LAGGED", ErrorDetails::new()))
}

fn compacted() -> Answer {
    Answer::refusal(Code::OutOfRange, "REVISION_COMPACTED", ErrorDetails::new())
}

/// The next steps, each as text.
async fn steps(watch: &mut Watch, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        told.push(match watch.next().await.unwrap() {
            Step::Event(event) => format!("{} at {}", event.secret.unwrap().id, event.revision),
            Step::Bookmark(bookmark) => format!("bookmark {} {}", bookmark.revision, bookmark.synced),
            Step::Restarted => "restarted".to_owned(),
        });
    }
    told
}

/// What each stream was asked for.
fn asked(fake: &Fake) -> Vec<(String, u64, bool)> {
    let asked = fake.seen().into_iter().map(|seen| seen.message::<WatchSecretsRequest>());
    asked.map(|asked| (asked.namespace, asked.after_revision, asked.snapshot)).collect()
}

#[tokio::test]
async fn a_watch_continues_behind_its_last_event_and_repeats_nothing() {
    // The second stream begins in the middle of revision 7, and repeats its first event.
    let fake = Fake::start([
        Answer::stream(&[bookmark(5, true), changed("a", 6, 6), changed("b", 7, 6)], lagged()),
        Answer::refusal(Code::Unavailable, "STORE_UNAVAILABLE", ErrorDetails::new()),
        Answer::stream(&[changed("b", 7, 6), changed("c", 7, 7), bookmark(9, true)], lagged()),
        Answer::stream(&[changed("a", 10, 10)], None),
    ]);
    let client = fake.builder().namespace("team").connect().await.unwrap();
    let mut watch = client.secrets().watch(WatchSecretsRequest::default());
    let told = steps(&mut watch, 6).await;
    assert_eq!(
        told,
        ["bookmark 5 true", "a at 6", "b at 7", "c at 7", "bookmark 9 true", "a at 10"],
        "{told:?}"
    );
    let team = |after| ("team".to_owned(), after, false);
    assert_eq!(asked(&fake), [team(0), team(6), team(6), team(9)]);
    assert_eq!(watch.resume_revision(), 10);
}

#[tokio::test]
async fn each_attempt_to_open_the_stream_is_told() {
    let unavailable = || Answer::refusal(Code::Unavailable, "STORE_UNAVAILABLE", ErrorDetails::new());
    let fake = Fake::start([
        Answer::stream(&[bookmark(5, true)], lagged()),
        unavailable(),
        unavailable(),
        Answer::stream(&[bookmark(6, true)], Some(compacted())),
    ]);
    let quick = RetryPolicy { first_delay: Duration::from_millis(1), ..RetryPolicy::default() };
    let client = fake.builder().retry(quick).connect().await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let mut watch = client.secrets().watch(WatchSecretsRequest::default()).each_attempt(move |failed| {
        tell.lock().unwrap().push(failed.and_then(|error| error.reason()));
    });
    assert_eq!(steps(&mut watch, 2).await, ["bookmark 5 true", "bookmark 6 true"]);
    // The end of a stream is no attempt, and what ends the watch is returned.
    assert_eq!(watch.next().await.unwrap_err().reason(), Some(ErrorReason::RevisionCompacted));
    let away = Some(ErrorReason::StoreUnavailable);
    assert_eq!(*told.lock().unwrap(), [None, away, away, None]);
}

#[tokio::test]
async fn a_snapshot_that_breaks_begins_again_and_says_so() {
    let snapshot = |id, revision| event(SecretEventType::Snapshot, id, revision, revision);
    let fake = Fake::start([
        Answer::stream(&[snapshot("a", 5), snapshot("b", 5)], lagged()),
        Answer::stream(&[snapshot("a", 8), bookmark(8, true), changed("a", 9, 9)], None),
    ]);
    let request = WatchSecretsRequest { snapshot: true, ..WatchSecretsRequest::default() };
    let mut watch = fake.client().await.secrets().watch(request);
    let told = steps(&mut watch, 6).await;
    assert_eq!(told, ["a at 5", "b at 5", "restarted", "a at 8", "bookmark 8 true", "a at 9"], "{told:?}");
    assert_eq!(asked(&fake), [(String::new(), 0, true), (String::new(), 0, true)]);
}

#[tokio::test]
async fn a_place_that_is_not_kept_is_an_error_unless_a_snapshot_is_asked_for() {
    let from_5 = WatchSecretsRequest { after_revision: 5, ..WatchSecretsRequest::default() };
    let fake = Fake::start([compacted()]);
    let mut watch = fake.client().await.secrets().watch(from_5.clone());
    assert_eq!(watch.next().await.unwrap_err().reason(), Some(ErrorReason::RevisionCompacted));

    let snapshot = event(SecretEventType::Snapshot, "a", 3, 3);
    // After a restore the revisions can be lower than before.
    let fake =
        Fake::start([compacted(), Answer::stream(&[snapshot, bookmark(3, true), changed("a", 4, 4)], None)]);
    let mut watch = fake.client().await.secrets().watch(from_5).snapshot_again();
    assert_eq!(steps(&mut watch, 4).await, ["restarted", "a at 3", "bookmark 3 true", "a at 4"]);
    assert_eq!(asked(&fake), [(String::new(), 5, false), (String::new(), 0, true)]);
}

#[tokio::test]
async fn a_refusal_ends_a_watch_and_so_does_a_service_that_never_answers() {
    let denied = || Answer::refusal(Code::PermissionDenied, "ACCESS_DENIED", ErrorDetails::new());
    let fake = Fake::start([Answer::stream(&[bookmark(5, true)], Some(denied()))]);
    let mut watch = fake.client().await.secrets().watch(WatchSecretsRequest::default());
    assert_eq!(steps(&mut watch, 1).await, ["bookmark 5 true"]);
    assert_eq!(watch.next().await.unwrap_err().reason(), Some(ErrorReason::AccessDenied));

    let unavailable = || Answer::refusal(Code::Unavailable, "STORE_UNAVAILABLE", ErrorDetails::new());
    let fake = Fake::start(std::iter::repeat_with(unavailable).take(5));
    let five =
        RetryPolicy { attempts: Some(5), first_delay: Duration::from_millis(1), ..RetryPolicy::default() };
    let mut watch =
        fake.builder().retry(five).connect().await.unwrap().secrets().watch(WatchSecretsRequest::default());
    assert_eq!(watch.next().await.unwrap_err().reason(), Some(ErrorReason::StoreUnavailable));
    assert_eq!(fake.seen().len(), 5);
}

#[tokio::test]
async fn a_claim_is_sent_once_and_a_batch_again() {
    let unavailable = || Answer::refusal(Code::Unavailable, "STORE_UNAVAILABLE", ErrorDetails::new());
    let fake =
        Fake::start([unavailable(), unavailable(), Answer::reply(&BatchGetSecretsResponse::default())]);
    let secrets = fake.client().await.secrets();
    assert!(secrets.claim_rotation(ClaimRotationRequest::default()).await.is_err());
    assert_eq!(fake.seen().len(), 1);
    let batch = BatchGetSecretsRequest { names: vec!["a".into()], ..BatchGetSecretsRequest::default() };
    assert!(secrets.batch_get(batch).await.is_ok());
    assert_eq!(fake.seen().len(), 2);
}
