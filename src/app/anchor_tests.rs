//! An older copy of the whole store, beside an anchor.

use std::path::Path;

use super::tests::{Site, options, provider};
use super::*;
use crate::integrity::AnchorError;
use crate::store::{self, Key};

fn anchored(file: &Path) -> Options {
    Options { anchor_file: Some(file.to_owned()), ..options() }
}

/// Another store with the same records, as they were when this was called.
async fn copy(site: &Site) -> Arc<dyn Store> {
    let copy = store::open_memory().unwrap();
    let put = site.store.scan(&Key::all(), None, 10_000).await.unwrap();
    let put = put.into_iter().map(|(key, entry)| (key, entry.value)).collect();
    copy.commit(Transaction { put, ..Transaction::default() }).await.unwrap();
    copy
}

async fn open_copy(site: &Site, store: Arc<dyn Store>, options: Options) -> Result<App, SetupError> {
    open(store, provider(&site.master), options, |_| panic!("not new")).await
}

#[tokio::test]
async fn an_older_copy_of_the_whole_store_is_refused_by_its_anchor_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("anchor");
    let masters = Arc::new(crate::crypto::MasterKeys::generate().unwrap());
    let site = Site::with_options(store::open_memory().unwrap(), masters, anchored(&file)).await;
    site.create("a", "a").await.unwrap();
    site.app.anchor().await;
    let old = copy(&site).await;
    site.create("b", "b").await.unwrap();
    let (new, other) = (copy(&site).await, copy(&site).await);
    site.app.anchor().await;

    let refused = open_copy(&site, old.clone(), anchored(&file)).await.err().unwrap().to_string();
    assert!(refused.contains("its last 1 changes are missing, at least"), "{refused}");
    // Nobody can tell without the anchor.
    assert!(open_copy(&site, old.clone(), options()).await.is_ok());
    let ahead = open_copy(&site, new, anchored(&file)).await.unwrap();
    assert_eq!(site.value(&ahead, "b").await.unwrap(), "b");

    // A copy that went on from the older state is as long, and another.
    let forked = Site::with_options(
        store::open_memory().unwrap(),
        site.master.clone(),
        anchored(&folder.path().join("f")),
    );
    let stranger = forked.await;
    let refused = open_copy(&site, copy(&stranger).await, anchored(&file)).await.err().unwrap().to_string();
    assert!(refused.contains("not an anchor of this store"), "{refused}");
    std::fs::write(&file, "something else").unwrap();
    assert!(matches!(open_copy(&site, other.clone(), anchored(&file)).await, Err(SetupError::Anchor(_))));

    // Accepted, the older one is the one that counts from then on.
    let accepting = Options { accept_altered_store: true, ..anchored(&file) };
    assert!(open_copy(&site, old.clone(), accepting).await.is_ok());
    assert!(open_copy(&site, old, anchored(&file)).await.is_ok());
}

#[tokio::test]
async fn a_new_store_is_not_set_up_where_an_anchor_says_that_there_was_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("anchor");
    let masters = Arc::new(crate::crypto::MasterKeys::generate().unwrap());
    drop(Site::with_options(store::open_memory().unwrap(), masters.clone(), anchored(&file)).await);
    let before = std::fs::read(&file).unwrap();

    let away = store::open_memory().unwrap();
    let refused = open(away.clone(), provider(&masters), anchored(&file), |_| panic!("no key is handed out"));
    assert!(
        matches!(refused.await.err(), Some(SetupError::Anchor(AnchorError::New(there))) if there == file)
    );
    assert!(away.is_new().await.unwrap());
    assert_eq!(std::fs::read(&file).unwrap(), before);

    let accepting = Options { accept_altered_store: true, ..anchored(&file) };
    let site = Site::with_options(away, masters, accepting).await;
    assert_ne!(std::fs::read(&file).unwrap(), before);
    assert!(open(site.store, provider(&site.master), anchored(&file), |_| panic!("not new")).await.is_ok());
}
