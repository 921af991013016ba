//! Watches whose timing a test over the wire cannot choose.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::fixture::Fixture;
use super::{Error, Step, StepType, Watch, WatchFrom, WatchQuery};
use crate::auth::List;
use crate::domain::{Metadata, Namespace};

async fn begin(fixture: &Fixture, from: WatchFrom) -> Watch {
    let namespace = Namespace::default_namespace();
    let grant = fixture.app.access.grant_namespace::<List>(&fixture.root, &namespace).unwrap();
    let query = WatchQuery { include_children: false, prefix: "".into(), metadata: Metadata::default() };
    fixture.app.watches.begin(grant, query, from).await.unwrap()
}

/// The name of the next secret that was changed.
async fn changed(watch: &mut Watch) -> Result<String, Error> {
    loop {
        if let Step::Event(event) = watch.next().await?
            && let StepType::Changed(_, secret, _) = event.kind
        {
            return Ok(secret.name.to_string());
        }
    }
}

#[tokio::test]
async fn a_bookmark_comes_at_least_every_thirty_seconds() {
    let fixture = Fixture::open().await;
    let mut watch = begin(&fixture, WatchFrom::Now).await;
    let begun = fixture.app.revision();
    assert_eq!(watch.next().await.unwrap(), Step::Bookmark { revision: begun, synced: true });
    let created = fixture.create("a", "v").await.unwrap().revision;
    // A change of another kind, of which nothing is told.
    fixture.create_api_key().await;
    let newest = fixture.app.revision();
    tokio::time::pause();
    let mut from = Instant::now();
    assert_eq!(changed(&mut watch).await.unwrap(), "a");
    for _ in 0..3 {
        let bookmark = watch.next().await.unwrap();
        assert_eq!(bookmark, Step::Bookmark { revision: newest, synced: true });
        assert!(newest > created && from.elapsed() <= Duration::from_secs(30), "{:?}", from.elapsed());
        assert!(from.elapsed() >= Duration::from_secs(10), "more bookmarks than anybody needs");
        from = Instant::now();
    }
}

#[tokio::test]
async fn a_watch_that_falls_behind_is_told_everything_once() {
    let fixture = Fixture::open().await;
    let mut watch = begin(&fixture, WatchFrom::Now).await;
    watch.next().await.unwrap();
    for round in 0..3 {
        let names: Vec<_> = (0..200).map(|number| format!("s{round}_{number}")).collect();
        for name in &names {
            fixture.create(name, "v").await.unwrap();
        }
        // The watch was live, and more was made than its channel holds.
        for name in &names {
            assert_eq!(changed(&mut watch).await.unwrap(), *name);
        }
    }
}

#[tokio::test]
async fn many_watches_of_one_history_are_each_told_all_of_it() {
    let fixture = Fixture::open().await;
    let before = fixture.app.revision();
    let names: BTreeSet<_> = (0..300).map(|number| format!("s{number}")).collect();
    for name in &names {
        fixture.create(name, "v").await.unwrap();
    }
    let mut watches = Vec::new();
    for _ in 0..50 {
        watches.push(begin(&fixture, WatchFrom::After(before)).await);
    }
    let watching = watches.into_iter().map(|mut watch| {
        tokio::spawn(async move {
            let mut told = BTreeSet::new();
            while told.len() < 300 {
                assert!(told.insert(changed(&mut watch).await.unwrap()));
            }
            told
        })
    });
    for told in watching.collect::<Vec<_>>() {
        assert_eq!(told.await.unwrap(), names);
    }
}
