//! Rekeys of namespaces and of the keyring.

use std::sync::{Arc, Mutex};

use super::{RekeyProgress, Rekeyed};
use crate::app::fixture::{Fixture, options};
use crate::app::{Error, Options, SealLimits};
use crate::auth::Operate;
use crate::crypto::MasterKeys;
use crate::domain::Namespace;
use crate::schema::Kind;
use crate::store::{self, Key, Transaction};

/// The generations of the default namespace's key.
fn generations(fixture: &Fixture) -> Vec<u32> {
    let namespace = fixture.app.core.catalog.namespace(&Namespace::default_namespace());
    namespace.unwrap().keys().generations()
}

async fn with_limits(seal_limits: SealLimits) -> Fixture {
    let masters = Arc::new(MasterKeys::generate().unwrap());
    let options = Options { seal_limits, ..options() };
    Fixture::with_options(store::open_memory().unwrap(), masters, options).await
}

#[tokio::test]
async fn a_rekey_of_a_namespace_seals_every_record_again_and_leaves_every_value() {
    let fixture = Fixture::open().await;
    for n in 0..150 {
        fixture.create(&format!("s{n}"), &format!("first {n}")).await.unwrap();
        fixture.rotate(&format!("s{n}"), &format!("second {n}")).await;
    }
    let before = fixture.stored(b'v').await;
    let etags: Vec<_> = (0..150).map(|n| fixture.secret(&format!("s{n}")).etag()).collect();
    let told = Mutex::new(Vec::new());
    let rekeyed = fixture
        .rekey()
        .rekey_namespace(&Namespace::default_namespace(), |at| told.lock().unwrap().push(at))
        .await
        .unwrap();
    assert_eq!((rekeyed, generations(&fixture)), (Rekeyed { generation: 2, seen: 600, damaged: 0 }, vec![2]));
    let told = told.into_inner().unwrap();
    assert!(
        told.is_sorted_by_key(|at| at.seen) && told.last() == Some(&RekeyProgress { seen: 600, total: 600 })
    );

    for app in [&*fixture.app, &fixture.restart().await] {
        for n in 0..150 {
            let name = format!("s{n}");
            assert_eq!(fixture.value_of(app, &name, Some(1)).await.unwrap(), format!("first {n}"));
            assert_eq!(fixture.value_of(app, &name, Some(2)).await.unwrap(), format!("second {n}"));
        }
    }
    // The sealed values are the same. Before them stand format, generation and wrapped data key, which are not.
    for ((_, before), (_, after)) in before.iter().zip(fixture.stored(b'v').await) {
        assert_eq!(before.value[65..], after.value[65..]);
        assert_ne!(before.value[..65], after.value[..65]);
    }
    assert_eq!((0..150).map(|n| fixture.secret(&format!("s{n}")).etag()).collect::<Vec<_>>(), etags);
}

#[tokio::test]
async fn a_rekey_that_others_have_overtaken_removes_no_generation() {
    let fixture = Fixture::open().await;
    for n in 0..100 {
        fixture.create(&format!("s{n}"), &format!("{n}")).await.unwrap();
    }
    let home = Namespace::default_namespace();
    // A rekey is under way while others end it and begin the next.
    let (namespace, begun) = fixture.app.keys.begin_namespace_rekey(&home).await.unwrap();
    let keyring = fixture.app.keys.begin_keyring_rekey().await.unwrap();
    for _ in 0..2 {
        fixture.rekey().rekey_namespace(&home, |_| {}).await.unwrap();
        fixture.rekey().rekey_master_key(|_| {}).await.unwrap();
    }
    fixture.app.keys.begin_namespace_rekey(&home).await.unwrap();
    assert!(!fixture.app.keys.end_namespace_rekey(&namespace, &begun).await.unwrap());
    let mut end = Transaction::default();
    end.put.push((Key::keyring(), keyring.end_rotation(&fixture.app.core.master_key.keys()).unwrap()));
    assert_eq!(fixture.app.core.commit(&keyring, end).await.unwrap(), None);
    assert_eq!(generations(&fixture), [3, 4]);
    fixture.app.keys.tend().await.unwrap();
    assert_eq!(generations(&fixture), [4]);
    for app in [&*fixture.app, &fixture.restart().await] {
        for n in 0..100 {
            assert_eq!(fixture.value(app, &format!("s{n}")).await.unwrap(), format!("{n}"));
        }
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_opened_keeps_the_earlier_key_in_use() {
    let fixture = Fixture::open().await;
    for name in ["a", "b"] {
        fixture.create(name, name).await.unwrap();
    }
    let id = fixture.secret("a").id;
    let is_of_a = |key: &Key| matches!(key.kind(), Kind::Version(_, of, _) if of == id);
    let (key, entry) = fixture.stored(b'v').await.into_iter().find(|(key, _)| is_of_a(key)).unwrap();
    let mut altered = entry.value.clone();
    altered[20] ^= 1; // the wrapped data key
    fixture.overwrite(&key, altered).await;
    let rekey =
        || async { fixture.rekey().rekey_namespace(&Namespace::default_namespace(), |_| {}).await.unwrap() };
    assert_eq!(rekey().await, Rekeyed { generation: 2, seen: 6, damaged: 1 });
    assert_eq!(generations(&fixture), [1, 2]);
    assert_eq!(fixture.value(&fixture.app, "b").await.unwrap(), "b");
    assert!(matches!(fixture.value(&fixture.app, "a").await, Err(Error::Integrity)));
    // Repaired, the record can be read, since the key was kept for it. Then the rekey ends.
    fixture.overwrite(&key, entry.value).await;
    assert_eq!(fixture.value(&fixture.app, "a").await.unwrap(), "a");
    assert_eq!(rekey().await, Rekeyed { generation: 2, seen: 6, damaged: 0 });
    assert_eq!(generations(&fixture), [2]);
    assert_eq!(fixture.value(&fixture.app, "a").await.unwrap(), "a");
}

#[tokio::test]
async fn keys_that_have_sealed_enough_are_replaced_without_being_asked() {
    let fixture = with_limits(SealLimits { rekey_at: 60, ..SealLimits::default() }).await;
    for n in 0..5 {
        fixture.create(&format!("s{n}"), &format!("{n}")).await.unwrap();
    }
    fixture.app.keys.tend().await.unwrap();
    assert_eq!((generations(&fixture), fixture.app.core.keyring().generations()), (vec![1], vec![1]));
    for n in 5..15 {
        fixture.create(&format!("s{n}"), &format!("{n}")).await.unwrap();
    }
    fixture.app.keys.tend().await.unwrap();
    assert_eq!((generations(&fixture), fixture.app.core.keyring().generations()), (vec![2], vec![2]));
    for app in [&*fixture.app, &fixture.restart().await] {
        for n in 0..15 {
            assert_eq!(fixture.value(app, &format!("s{n}")).await.unwrap(), format!("{n}"));
        }
    }
}

#[tokio::test]
async fn a_spent_key_seals_only_revocations_until_it_is_replaced() {
    let fixture = with_limits(SealLimits { rekey_at: 60, refuse_at: 100 }).await;
    let (id, credential) = fixture.create_api_key().await;
    let mut made = 0;
    let refused = loop {
        match fixture.create(&format!("s{made}"), "v").await {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Unavailable(_)) && made > 5, "{refused:?} after {made}");
    assert_eq!(fixture.value(&fixture.app, "s0").await.unwrap(), "v");
    fixture.revoke_api_key(id).await;
    assert!(fixture.app.access.authenticate(&credential).is_err());
    fixture.app.keys.tend().await.unwrap();
    fixture.create("one_more", "v").await.unwrap();
}

#[tokio::test]
async fn a_rekey_that_was_cut_short_is_ended_and_one_rekey_runs_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let fixture =
        Fixture::with(store::open_sled(folder.path()).unwrap(), Arc::new(MasterKeys::generate().unwrap()))
            .await;
    fixture.create("a", "a").await.unwrap();
    // Only the beginning: what a crash right after it leaves.
    let (keyring, masters) = (fixture.app.core.keyring(), fixture.app.core.master_key.keys());
    let mut transaction = Transaction::default();
    transaction.put.push((Key::keyring(), keyring.begin_rotation(&masters, 0).unwrap()));
    fixture.app.core.commit(&keyring, transaction).await.unwrap().unwrap();
    assert_eq!(fixture.app.core.keyring().generations(), [1, 2]);

    let again = Arc::new(fixture.restart().await);
    assert_eq!(again.core.keyring().generations(), [1, 2]);
    let grant = again.access.grant_service::<Operate>(&fixture.root).unwrap();
    let permit = again.keys.begin(&grant).unwrap();
    assert!(matches!(again.keys.begin(&grant).err(), Some(Error::Busy(_))));
    again.keys.tend().await.unwrap();
    assert_eq!(again.core.keyring().generations(), [1, 2], "another rekey is permitted");
    drop(permit);
    again.keys.tend().await.unwrap();
    assert_eq!(again.core.keyring().generations(), [2]);
    assert_eq!(fixture.value(&again, "a").await.unwrap(), "a");
    assert!(again.access.authenticate(&fixture.root_key).is_ok());
}
