//! How watches end that a caller has to begin again: a reader that is too slow, and rights that are others now.

use std::time::Duration;

use strongroom::api::v1::{CreateSecretRequest, WatchSecretsRequest};
use tokio::time::timeout;
use tonic::Code;

use super::{Watching, after, bare_key, bind, watch};
use crate::caller::{Caller, Credential, Room, endpoint};
use crate::harness::{Launch, PATIENCE};
use crate::metrics::{page, sample};
use crate::refusal::reason_of;
use crate::requests::{create, pairs};

/// A watcher that reads nothing holds no more than what is under way to it, is cut off, and continues where it was.
#[tokio::test]
async fn a_reader_that_is_too_slow_is_cut_off_and_goes_on_where_it_was() {
    let server = Launch::in_memory().argument("--metrics-listen").argument("127.0.0.1:0").start();
    let metrics = server.metrics_address();
    let root = Caller::root(&server).await;
    // So much may be under way to the reader that takes nothing.
    let narrow = endpoint(&server.url).initial_stream_window_size(64 << 10).connect().await.unwrap();
    let reader = Caller::over(narrow, Credential::bearer(&server.root_key));
    let (mut slow, _) = Watching::synced(&reader, watch()).await;
    assert_eq!(sample(&page(&metrics).await, "strongroom_watches_open"), Some(1.0));
    let large = "x".repeat(512);
    let metadata: Vec<_> = (0..64).map(|number| format!("key_{number}")).collect();
    let metadata: Vec<_> = metadata.iter().map(|key| (key.as_str(), large.as_str())).collect();
    let all: Vec<_> = (0..40).map(|number| format!("s{number:02}")).collect();
    for name in &all {
        root.create_with(CreateSecretRequest { metadata: pairs(&metadata), ..create(name, "v") }).await;
    }
    // The server waits for the reader for some time, and then ends the watch.
    let ended = async {
        while sample(&page(&metrics).await, "strongroom_watches_open") != Some(0.0) {
            tokio::time::sleep(Duration::from_millis(100)).await; // a pause of the look, not a time that is counted on
        }
    };
    timeout(PATIENCE, ended).await.expect("the watch ends");
    let (mut names, mut resume) = (Vec::new(), slow.resume);
    let ended = loop {
        match slow.step().await {
            Ok(super::Step::Event(event)) => {
                names.push(event.secret.unwrap().name);
                resume = event.resume_revision;
            }
            Ok(super::Step::Bookmark(_)) => {}
            Err(status) => break status,
        }
    };
    assert_eq!((ended.code(), reason_of(&ended).as_str()), (Code::Unavailable, "WATCH_LAGGED"));
    assert!(ended.message().contains("after_revision"), "{ended:?}");
    assert!(names.len() < all.len(), "the reader was told everything");
    let (_, rest) = Watching::synced(&root, after(resume)).await;
    names.extend(rest.into_iter().map(|event| event.secret.unwrap().name));
    assert_eq!(names, all);
    server.stop().await;
}

#[tokio::test]
async fn a_watch_ends_when_its_caller_may_list_other_names_and_begins_again_with_them() {
    let room = Room::open().await;
    for name in ["app_a", "web_a", "hidden"] {
        room.create(name, "v").await;
    }
    let (key, caller) = bare_key(&room).await;
    bind(&room, &key, &room.namespace, "app_*").await;
    let (watching, _) = Watching::synced(&caller, watch()).await;
    let resume = watching.resume;
    bind(&room, &key, &room.namespace, "web_*").await;
    let ended = watching.ended().await;
    assert_eq!((ended.code(), reason_of(&ended).as_str()), (Code::Aborted, "CONTENDED"));
    let snapshot = WatchSecretsRequest { snapshot: true, ..watch() };
    let (mut again, present) = Watching::synced(&caller, snapshot).await;
    let names: Vec<_> = present.into_iter().map(|event| event.secret.unwrap().name).collect();
    assert_eq!(names, ["app_a", "web_a"]);
    // Where it was, it goes on too.
    let (mut there, none) = Watching::synced(&caller, after(resume)).await;
    assert_eq!(none, []);
    room.create("hidden_too", "v").await;
    room.create("web_b", "v").await;
    for watching in [&mut again, &mut there] {
        assert_eq!(watching.event().await.secret.unwrap().name, "web_b");
    }
}
