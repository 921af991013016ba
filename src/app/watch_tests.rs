//! Watches whose timing a test over the wire cannot choose.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::fixture::{Fixture, reopen};
use super::{Error, Step, StepType, Watch, WatchFrom, WatchQuery};
use crate::auth::List;
use crate::crypto::{MasterKeySource, MasterKeys};
use crate::domain::{EventType, Metadata, Namespace, Revision};
use crate::store;

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

/// What an earlier release has written is told like a change of this one, also after a revision in the middle of it.
#[tokio::test]
async fn the_changes_of_an_earlier_release_are_told_after_a_revision() {
    let folder = tempfile::tempdir().unwrap();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/format-3.tar.gz");
    let unpack =
        std::process::Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()).status();
    assert!(unpack.unwrap().success());
    let data = folder.path().join("data");
    let keys = Arc::new(MasterKeys::read(&MasterKeySource::File(data.join("master.key"))).unwrap());
    let app = reopen(&store::open_sled(&data).unwrap(), &keys).await.unwrap();
    let root_key = std::fs::read_to_string(data.join("root.key")).unwrap();
    let root = app.access.authenticate(root_key.trim()).unwrap();
    let start = app.core.history_start().await.unwrap().unwrap();
    let told = async |namespace: &str, after: Revision| {
        let namespace = Namespace::parse(namespace).unwrap();
        let grant = app.access.grant_namespace::<List>(&root, &namespace).unwrap();
        let query = WatchQuery { include_children: false, prefix: "".into(), metadata: Metadata::default() };
        let mut watch = app.watches.begin(grant, query, WatchFrom::After(after)).await.unwrap();
        let mut told = Vec::new();
        loop {
            match watch.next().await.unwrap() {
                Step::Event(event) => {
                    assert_eq!(event.resume, Some(event.revision));
                    let StepType::Changed(kind, secret, former) = event.kind else { panic!("{event:?}") };
                    let former = former.map(|name| name.to_string());
                    told.push((event.revision, (kind, secret.name.to_string(), former)));
                }
                Step::Bookmark { synced: true, .. } => return told,
                Step::Bookmark { synced: false, .. } => {}
            }
        }
    };
    use EventType as Is;
    let of = |kind: EventType, name: &str| (kind, name.to_owned(), None);
    let everywhere = [
        of(Is::Created, "plain"),
        of(Is::Created, "empty"),
        of(Is::Created, "everything"),
        of(Is::Created, "largest"),
        of(Is::Created, "rotated"),
        of(Is::Rotated, "rotated"),
        of(Is::Updated, "rotated"),
        of(Is::Created, "original"),
        (Is::Renamed, "renamed".to_owned(), Some("original".to_owned())),
        of(Is::Created, "deleted"),
        of(Is::Deleted, "deleted"),
    ];
    let rotating = [
        of(Is::Created, "by_password"),
        of(Is::Created, "by_bytes"),
        of(Is::Created, "by_uuid"),
        of(Is::Created, "by_words"),
        of(Is::Created, "by_pair"),
        of(Is::Created, "by_worker"),
        of(Is::Created, "expiring"),
        of(Is::Created, "staged"),
        of(Is::Staged, "staged"),
        of(Is::Created, "in_grace"),
        of(Is::Rotated, "in_grace"),
        of(Is::Created, "failed"),
        of(Is::RotationFailed, "failed"),
        of(Is::Created, "deleted"),
        of(Is::Deleted, "deleted"),
        of(Is::Created, "deleted"),
        of(Is::Deleted, "deleted"),
    ];
    for (namespace, expected) in
        [("default", &everywhere[..]), ("team-a/eu", &everywhere), ("rotating", &rotating)]
    {
        let all = told(namespace, start).await;
        assert_eq!(all.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(), expected, "{namespace}");
        assert!(all.is_sorted_by(|one, next| one.0 < next.0));
        for nth in [0, all.len() / 2, all.len() - 1] {
            assert_eq!(told(namespace, all[nth].0).await, all[nth + 1..], "after event {nth}");
        }
    }
}
