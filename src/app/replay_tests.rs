//! Older records that somebody puts back into the store while the service runs, or while nobody serves it.

use std::collections::BTreeMap;

use super::fixture::{Fixture, reopen};
use super::{Error, SetupError};
use crate::domain::{Namespace, Revision};
use crate::schema::Kind;
use crate::store::{self, Entry, Key, Transaction};

#[tokio::test]
async fn a_digest_that_was_put_back_stops_all_changes() {
    let fixture = Fixture::open().await;
    fixture.create("a", "a").await.unwrap();
    let (id, credential) = fixture.create_api_key().await;
    let place = Key::api_key(&id.0);
    let (digest, unrevoked) = (fixture.stored_at(&Key::digest()).await, fixture.stored_at(&place).await);
    fixture.revoke_api_key(id).await;
    fixture.overwrite(&Key::digest(), digest).await;
    fixture.overwrite(&place, unrevoked).await;
    assert!(fixture.app.access.authenticate(&credential).is_err());
    for name in ["b", "c", "d"] {
        assert!(matches!(fixture.create(name, "v").await, Err(Error::Integrity)), "{name}");
    }
    // At the next start, this is an older copy of the whole store, and only an anchor can tell.
}

#[tokio::test]
async fn a_later_digest_does_not_vouch_for_records_that_come_with_it() {
    let fixture = Fixture::open().await;
    fixture.create("a", "one").await.unwrap();
    let (id, credential) = fixture.create_api_key().await;
    let place = Key::api_key(&id.0);
    let unrevoked = fixture.stored_at(&place).await;
    fixture.revoke_api_key(id).await;
    let all = fixture.store.scan(&Key::all(), None, 10_000).await.unwrap();
    fixture.rotate("a", "two").await;
    let next = fixture.stored_at(&Key::digest()).await;
    // The whole store as it was is served. Then comes the digest of the next commit, with another record.
    let copy = store::open_memory().unwrap();
    let put = all.into_iter().map(|(key, entry)| (key, entry.value)).collect();
    copy.commit(Transaction { put, ..Transaction::default() }).await.unwrap();
    let app = reopen(&copy, &fixture.master).await.unwrap();
    assert!(app.access.authenticate(&credential).is_err());
    let put = vec![(Key::digest(), next), (place, unrevoked)];
    let revision = copy.commit(Transaction { put, ..Transaction::default() }).await.unwrap();
    app.core.catalog.at_least(revision).await.unwrap();
    assert!(app.access.authenticate(&credential).is_err());
}

/// Revisions stand beside the records in the store, and no seal covers them.
#[tokio::test]
async fn a_revision_that_was_forged_at_rest_is_noticed() {
    let fixture = Fixture::open().await;
    fixture.create("a", "one").await.unwrap();
    fixture.create("b", "b").await.unwrap();
    fixture.rotate("a", "two").await;
    let at = fixture.store.durable();
    let contents: BTreeMap<_, _> =
        fixture.store.scan(&Key::all(), None, 10_000).await.unwrap().into_iter().collect();
    let open = async |contents: &BTreeMap<Key, Entry>, at: Revision| {
        let store = store::open_memory_of(contents.clone(), at);
        reopen(&store, &fixture.master).await
    };
    assert_eq!(fixture.value(&open(&contents, at).await.unwrap(), "a").await.unwrap(), "two");
    // The store's revision, set back or to the highest numbers: changes would be acknowledged and not shown.
    for forged in [Revision(at.0 - 2), Revision(1 << 62), Revision(u64::MAX)] {
        assert!(matches!(open(&contents, forged).await.err(), Some(SetupError::Altered)), "{forged}");
    }
    // The revision of one record, set higher than the store's.
    let id = fixture.secret("a").id;
    let mut forged = contents.clone();
    for (key, entry) in &mut forged {
        if matches!(key.kind(), Kind::Secret(_, of) if of == id) {
            entry.revision = Revision(at.0 + 5);
        }
    }
    let app = open(&forged, at).await.unwrap();
    assert!(matches!(fixture.value(&app, "a").await, Err(Error::Integrity)));
    assert_eq!(fixture.value(&app, "b").await.unwrap(), "b");
}

#[tokio::test]
async fn a_rekey_does_not_seal_again_a_record_that_somebody_put_back() {
    let fixture = Fixture::open().await;
    fixture.create("a", "old").await.unwrap();
    let (id, credential) = fixture.create_api_key().await;
    let place = Key::api_key(&id.0);
    let unrevoked = fixture.stored_at(&place).await;
    let (secret, older) = fixture.stored(b's').await.remove(0);
    fixture.rotate("a", "new").await;
    fixture.revoke_api_key(id).await;
    fixture.overwrite(&place, unrevoked).await;
    fixture.overwrite(&secret, older.value).await;

    let permit = fixture.rekey();
    let home = Namespace::default_namespace();
    assert_eq!(
        permit.rekey_namespace(&home, |_| {}).await.unwrap().damaged,
        3,
        "the secret and its versions"
    );
    assert_eq!(permit.rekey_master_key(|_| {}).await.unwrap().damaged, 1);
    assert!(fixture.app.access.authenticate(&credential).is_err());
    assert!(matches!(fixture.value(&fixture.app, "a").await, Err(Error::Integrity)));
    assert!(fixture.app.access.authenticate(&fixture.root_key).is_ok());
}
