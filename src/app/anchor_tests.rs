//! An older copy of the whole store, beside its anchor.

use std::path::Path;
use std::sync::Arc;

use super::fixture::{Fixture, options, provider, reopen, reopen_with};
use super::{Options, SetupError, open};
use crate::crypto::MasterKeys;
use crate::integrity::AnchorError;
use crate::store::{self, Key, Store, Transaction};

fn anchored(file: &Path) -> Options {
    Options { anchor_file: Some(file.to_owned()), ..options() }
}

/// Another store with the same records as this one has now.
async fn copy(fixture: &Fixture) -> Arc<dyn Store> {
    copy_of(&fixture.store).await
}

async fn copy_of(store: &Arc<dyn Store>) -> Arc<dyn Store> {
    let copy = store::open_memory().unwrap();
    let put = store.scan(&Key::all(), None, 10_000).await.unwrap();
    let put = put.into_iter().map(|(key, entry)| (key, entry.value)).collect();
    copy.commit(Transaction { put, ..Transaction::default() }).await.unwrap();
    copy
}

#[tokio::test]
async fn an_older_copy_of_the_whole_store_is_refused_by_its_anchor_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("anchor");
    let masters = Arc::new(MasterKeys::generate().unwrap());
    let fixture = Fixture::with_options(store::open_memory().unwrap(), masters, anchored(&file)).await;
    fixture.create("a", "a").await.unwrap();
    fixture.app.write_anchor().await;
    let old = copy(&fixture).await;
    fixture.create("b", "b").await.unwrap();
    let (new, other) = (copy(&fixture).await, copy(&fixture).await);
    fixture.app.write_anchor().await;

    let refused = reopen_with(&old, &fixture.master, anchored(&file)).await.err().unwrap().to_string();
    assert!(refused.contains("its last 1 changes are missing, at least"), "{refused}");
    // Without the anchor, nobody can tell.
    assert!(reopen(&old, &fixture.master).await.is_ok());
    let ahead = reopen_with(&new, &fixture.master, anchored(&file)).await.unwrap();
    assert_eq!(fixture.value(&ahead, "b").await.unwrap(), "b");

    // The older copy is refused also after another server has changed it more often.
    let left = fixture.beside(copy_of(&old).await).await;
    for name in ["c", "d", "e"] {
        left.create(name, "1").await.unwrap();
    }
    let refused = reopen_with(&left.store, &fixture.master, anchored(&file)).await.err().unwrap().to_string();
    assert!(
        refused.contains("has gone on from an older copy") && refused.contains("--accept-altered-store"),
        "{refused}"
    );

    // A store of another history has as many changes.
    let forked = Fixture::with_options(
        store::open_memory().unwrap(),
        fixture.master.clone(),
        anchored(&folder.path().join("f")),
    );
    let stranger = forked.await;
    let refused = reopen_with(&copy(&stranger).await, &fixture.master, anchored(&file))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(refused.contains("not an anchor of this store"), "{refused}");
    std::fs::write(&file, "something else").unwrap();
    assert!(matches!(
        reopen_with(&other, &fixture.master, anchored(&file)).await,
        Err(SetupError::Anchor(_))
    ));

    // Once the older copy was accepted, the anchor matches it.
    let accepting = Options { accept_altered_store: true, ..anchored(&file) };
    assert!(reopen_with(&old, &fixture.master, accepting).await.is_ok());
    assert!(reopen_with(&old, &fixture.master, anchored(&file)).await.is_ok());
}

#[tokio::test]
async fn a_new_store_is_not_set_up_where_an_anchor_says_that_there_was_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("anchor");
    let masters = Arc::new(MasterKeys::generate().unwrap());
    drop(Fixture::with_options(store::open_memory().unwrap(), masters.clone(), anchored(&file)).await);
    let before = std::fs::read(&file).unwrap();

    let away = store::open_memory().unwrap();
    let refused = open(away.clone(), provider(&masters), anchored(&file), |_| panic!("no key is handed out"));
    assert!(
        matches!(refused.await.err(), Some(SetupError::Anchor(AnchorError::New(anchor))) if anchor == file)
    );
    assert!(away.is_new().await.unwrap());
    assert_eq!(std::fs::read(&file).unwrap(), before);

    let accepting = Options { accept_altered_store: true, ..anchored(&file) };
    let fixture = Fixture::with_options(away, masters, accepting).await;
    assert_ne!(std::fs::read(&file).unwrap(), before);
    assert!(reopen_with(&fixture.store, &fixture.master, anchored(&file)).await.is_ok());
}
