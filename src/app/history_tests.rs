//! The history of changes: how much of it is kept, and what somebody can do to it who has the store and not its keys.

use std::time::Duration;

use super::fixture::{Fixture, options};
use super::{Error, Options};
use crate::app::{Step, WatchFrom, WatchQuery};
use crate::auth::List;
use crate::config::HistorySettings;
use crate::crypto::MasterKeys;
use crate::domain::{Metadata, Namespace, Revision};
use crate::store::{self, Key};

const LONG: Duration = Duration::from_secs(3600);

async fn keeping(max_events: u64, max_age: Duration) -> Fixture {
    let options = Options { history: HistorySettings { max_age, max_events }, ..options() };
    let master = MasterKeys::generate().unwrap().into();
    Fixture::with_options(store::open_memory().unwrap(), master, options).await
}

/// The revisions of the events that a watch tells after a revision.
async fn told(fixture: &Fixture, after: Revision) -> Result<Vec<Revision>, Error> {
    let grant = fixture.app.access.grant_namespace::<List>(&fixture.root, &Namespace::default_namespace())?;
    let query = WatchQuery { include_children: false, prefix: "".into(), metadata: Metadata::default() };
    let mut watch = fixture.app.watches.begin(grant, query, WatchFrom::After(after)).await?;
    let mut told = Vec::new();
    loop {
        match watch.next().await? {
            Step::Event(event) => told.push(event.revision),
            Step::Bookmark { synced: true, .. } => return Ok(told),
            Step::Bookmark { synced: false, .. } => {}
        }
    }
}

#[tokio::test]
async fn the_oldest_changes_are_removed_and_the_start_says_so() {
    let fixture = keeping(20, LONG).await;
    let mut revisions = Vec::new();
    for number in 0..260 {
        revisions.push(fixture.create(&format!("s{number}"), "v").await.unwrap().revision);
        if number == 9 {
            assert_eq!(fixture.app.history.sweep().await.unwrap(), 0);
        }
    }
    assert_eq!(fixture.app.history.sweep().await.unwrap(), 240);
    assert_eq!(fixture.app.history.sweep().await.unwrap(), 0);
    assert_eq!(fixture.stored(b'f').await.len(), 20);
    assert!(matches!(told(&fixture, revisions[238]).await, Err(Error::RevisionCompacted)));
    assert_eq!(told(&fixture, revisions[239]).await.unwrap(), revisions[240..]);
    assert_eq!(told(&fixture, revisions[250]).await.unwrap(), revisions[251..]);
    // Another process counts them again.
    fixture.create("another", "v").await.unwrap();
    let options = Options { history: HistorySettings { max_age: LONG, max_events: 5 }, ..options() };
    let other = super::fixture::reopen_with(&fixture.store, &fixture.master, options).await.unwrap();
    assert_eq!(other.history.sweep().await.unwrap(), 16);
    assert_eq!(fixture.stored(b'f').await.len(), 5);
}

#[tokio::test]
async fn replicas_that_sweep_at_once_remove_no_more_than_one_would() {
    let fixture = keeping(30, LONG).await;
    for number in 0..250 {
        fixture.create(&format!("s{number}"), "v").await.unwrap();
    }
    let settings = HistorySettings { max_age: LONG, max_events: 30 };
    let options = Options { history: settings, ..options() };
    let other = super::fixture::reopen_with(&fixture.store, &fixture.master, options).await.unwrap();
    let (one, another) = tokio::join!(fixture.app.history.sweep(), other.history.sweep());
    one.unwrap();
    another.unwrap();
    // Who was slower in a race goes on with the next sweep.
    fixture.app.history.sweep().await.unwrap();
    let left = fixture.stored(b'f').await;
    assert!(left.len() >= 30, "{}", left.len());
    let start = fixture.app.core.history_start().await.unwrap().unwrap();
    assert!(left.iter().all(|(_, entry)| entry.revision > start));
}

#[tokio::test]
async fn a_change_that_is_too_old_is_removed_though_there_is_room() {
    let fixture = keeping(1000, Duration::ZERO).await;
    let first = fixture.create("a", "v").await.unwrap().revision;
    let last = fixture.create("b", "v").await.unwrap().revision;
    assert_eq!(fixture.app.history.sweep().await.unwrap(), 2);
    assert!(matches!(told(&fixture, first).await, Err(Error::RevisionCompacted)));
    assert_eq!(told(&fixture, last).await.unwrap(), []);
}

#[tokio::test]
async fn the_age_of_a_change_is_that_by_the_clock() {
    let fixture = keeping(1000, LONG).await;
    let first = fixture.create("a", "v").await.unwrap().revision;
    let clock = &fixture.app.core.clock;
    clock.advance(LONG - Duration::from_secs(600));
    let last = fixture.create("b", "v").await.unwrap().revision;
    assert_eq!(fixture.app.history.sweep().await.unwrap(), 0);
    clock.advance(Duration::from_secs(600));
    assert_eq!(fixture.app.history.sweep().await.unwrap(), 1);
    assert_eq!(told(&fixture, first).await.unwrap(), [last]);
}

#[tokio::test]
async fn an_event_that_was_altered_ends_watches_and_goes_with_the_others() {
    let fixture = keeping(1, LONG).await;
    let before = fixture.create("a", "v").await.unwrap().revision;
    fixture.create("b", "v").await.unwrap();
    let last = fixture.create("c", "v").await.unwrap().revision;
    let (key, entry) = fixture.stored(b'f').await.remove(1);
    let mut altered = entry.value;
    altered[30] ^= 1;
    fixture.overwrite(&key, altered).await;
    assert!(matches!(told(&fixture, before).await, Err(Error::Integrity)));
    assert_eq!(fixture.app.history.sweep().await.unwrap(), 2);
    assert_eq!(fixture.stored(b'f').await.len(), 1);
    // Altered records say nothing of their revisions: the history begins no earlier than it has to.
    assert!(told(&fixture, before).await.is_err() && told(&fixture, last).await.is_err());
    let next = fixture.create("d", "v").await.unwrap().revision;
    let after = fixture.app.core.history_start().await.unwrap().unwrap();
    assert_eq!(told(&fixture, after).await.unwrap(), [next]);
}

#[tokio::test]
async fn a_history_whose_start_is_gone_or_altered_begins_again() {
    let fixture = keeping(1000, LONG).await;
    let first = fixture.create("a", "v").await.unwrap().revision;
    for altered in [false, true] {
        let before = fixture.create(if altered { "c" } else { "b" }, "v").await.unwrap().revision;
        if altered {
            fixture.overwrite(&Key::history_start(), b"something".to_vec()).await;
        } else {
            fixture.remove(&Key::history_start()).await;
        }
        assert!(matches!(told(&fixture, before).await, Err(Error::RevisionCompacted)));
        fixture.app.history.sweep().await.unwrap();
        assert!(matches!(told(&fixture, before).await, Err(Error::RevisionCompacted)));
        let start = fixture.app.core.history_start().await.unwrap().unwrap();
        assert!(start > before && start > first);
        assert_eq!(told(&fixture, start).await.unwrap(), []);
    }
}

#[tokio::test]
async fn the_largest_change_of_a_secret_has_an_event_that_the_store_takes() {
    use crate::app::SecretUpdate;
    use crate::auth::Write;
    use crate::domain::Description;
    let fixture = keeping(1000, LONG).await;
    let before = fixture.create("a", "v").await.unwrap().revision;
    let largest = |fill: char| {
        let pair = |number: usize| (format!("{number:0>128}"), fill.to_string().repeat(512));
        Metadata::parse((0..64).map(pair).collect()).unwrap()
    };
    for fill in ['x', 'y'] {
        let description = Some(Description::parse(&"d".repeat(1024)).unwrap());
        let update = SecretUpdate { metadata: Some(largest(fill)), description, ..SecretUpdate::default() };
        fixture.app.secrets.update(&fixture.grant::<Write>("a"), update, None).await.unwrap();
    }
    assert_eq!(told(&fixture, before).await.unwrap().len(), 2);
}
