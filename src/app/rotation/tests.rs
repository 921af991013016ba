//! Rotation over the app: what the wire can not bring about.

use std::sync::Arc;

use super::*;
use crate::app::tests::{Site, named, options, provider};
use crate::app::{Limits, Options, open};
use crate::auth::Read;
use crate::crypto::MasterKeys;
use crate::domain::{Revision, Value};
use crate::schema::Kind;
use crate::store::{self, Key};

impl Site {
    fn rotation(&self) -> KeyRotation {
        self.app.rotation(&self.root.authorize_service::<Operate>().unwrap()).unwrap()
    }

    async fn value_of(&self, app: &App, name: &str, version: u32) -> String {
        let found = app.get(&self.grant::<Read>(), &named(name), Some(version), Revision::default()).await;
        match found.unwrap().value {
            Value::Text(text) => text.to_string(),
            Value::Binary(_) => panic!("expected text"),
        }
    }

    fn generations(&self) -> Vec<u32> {
        self.app.catalog.namespace(&Namespace::default_namespace()).unwrap().keys().generations()
    }
}

async fn with_limits(limits: Limits) -> Site {
    let masters = Arc::new(MasterKeys::generate().unwrap());
    Site::with_options(store::open_memory().unwrap(), masters, Options { limits, ..options() }).await
}

#[tokio::test]
async fn a_namespaces_key_is_rotated_under_every_record_and_every_value_stays() {
    let site = Site::open().await;
    for n in 0..150 {
        site.create(&format!("s{n}"), &format!("first {n}")).await.unwrap();
        site.rotate(&format!("s{n}"), &format!("second {n}")).await;
    }
    let before = site.stored(b'v').await;
    let etags: Vec<_> = (0..150).map(|n| site.secret(&format!("s{n}")).etag()).collect();
    let told = std::sync::Mutex::new(Vec::new());
    let rotated = site
        .rotation()
        .rotate_namespace_key(&Namespace::default_namespace(), |at| told.lock().unwrap().push(at))
        .await
        .unwrap();
    assert_eq!((rotated, site.generations()), (Rotated { generation: 2, seen: 600, damaged: 0 }, vec![2]));
    let told = told.into_inner().unwrap();
    assert!(told.is_sorted_by_key(|at| at.seen) && told.last() == Some(&Rewrapped { seen: 600, total: 600 }));

    for app in [&*site.app, &site.again().await] {
        for n in 0..150 {
            assert_eq!(site.value_of(app, &format!("s{n}"), 1).await, format!("first {n}"));
            assert_eq!(site.value_of(app, &format!("s{n}"), 2).await, format!("second {n}"));
        }
    }
    // The values themselves are what they were: format, generation and wrapped key before them are not.
    for ((_, before), (_, after)) in before.iter().zip(site.stored(b'v').await) {
        assert_eq!(before.value[65..], after.value[65..]);
        assert_ne!(before.value[..65], after.value[..65]);
    }
    assert_eq!((0..150).map(|n| site.secret(&format!("s{n}")).etag()).collect::<Vec<_>>(), etags);
}

#[tokio::test]
async fn a_rotation_that_others_have_overtaken_lets_go_of_nothing() {
    let site = Site::open().await;
    for n in 0..100 {
        site.create(&format!("s{n}"), &format!("{n}")).await.unwrap();
    }
    let home = Namespace::default_namespace();
    // One is under way while others end it and begin the next.
    let (there, begun) = site.app.begin_namespace_rotation(&home).await.unwrap();
    let keyring = site.app.begin_keyring_rotation().await.unwrap();
    for _ in 0..2 {
        site.rotation().rotate_namespace_key(&home, |_| {}).await.unwrap();
        site.rotation().rotate_master_key(|_| {}).await.unwrap();
    }
    site.app.begin_namespace_rotation(&home).await.unwrap();
    assert!(!site.app.end_namespace_rotation(&there, &begun).await.unwrap());
    let mut end = crate::store::Transaction::default();
    end.put.push((Key::keyring(), keyring.end_rotation(&site.app.provider.keys()).unwrap()));
    assert_eq!(site.app.commit(&keyring, end).await.unwrap(), None);
    assert_eq!(site.generations(), [3, 4]);
    site.app.tend_keys().await.unwrap();
    assert_eq!(site.generations(), [4]);
    for app in [&*site.app, &site.again().await] {
        for n in 0..100 {
            assert_eq!(site.value(app, &format!("s{n}")).await.unwrap(), format!("{n}"));
        }
    }
}

#[tokio::test]
async fn a_record_that_can_not_be_opened_keeps_the_earlier_key_in_use() {
    let site = Site::open().await;
    for name in ["a", "b"] {
        site.create(name, name).await.unwrap();
    }
    let id = site.secret("a").id;
    let is_of_a = |key: &Key| matches!(key.kind(), Kind::Version(_, of, _) if of == id);
    let (key, entry) = site.stored(b'v').await.into_iter().find(|(key, _)| is_of_a(key)).unwrap();
    let mut altered = entry.value.clone();
    altered[20] ^= 1; // the wrapped data key
    site.overwrite(&key, altered).await;
    let rotate = || async {
        site.rotation().rotate_namespace_key(&Namespace::default_namespace(), |_| {}).await.unwrap()
    };
    assert_eq!(rotate().await, Rotated { generation: 2, seen: 6, damaged: 1 });
    assert_eq!(site.generations(), [1, 2]);
    assert_eq!(site.value(&site.app, "b").await.unwrap(), "b");
    assert!(matches!(site.value(&site.app, "a").await, Err(Error::Integrity)));
    // Put right, it is readable: the key was kept for it. And then the rotation ends.
    site.overwrite(&key, entry.value).await;
    assert_eq!(site.value(&site.app, "a").await.unwrap(), "a");
    assert_eq!(rotate().await, Rotated { generation: 2, seen: 6, damaged: 0 });
    assert_eq!(site.generations(), [2]);
    assert_eq!(site.value(&site.app, "a").await.unwrap(), "a");
}

#[tokio::test]
async fn keys_that_have_sealed_enough_are_rotated_by_themselves() {
    let site = with_limits(Limits { rotate_at: 60, ..Limits::default() }).await;
    for n in 0..5 {
        site.create(&format!("s{n}"), &format!("{n}")).await.unwrap();
    }
    site.app.tend_keys().await.unwrap();
    assert_eq!((site.generations(), site.app.keyring().generations()), (vec![1], vec![1]));
    for n in 5..15 {
        site.create(&format!("s{n}"), &format!("{n}")).await.unwrap();
    }
    site.app.tend_keys().await.unwrap();
    assert_eq!((site.generations(), site.app.keyring().generations()), (vec![2], vec![2]));
    for app in [&*site.app, &site.again().await] {
        for n in 0..15 {
            assert_eq!(site.value(app, &format!("s{n}")).await.unwrap(), format!("{n}"));
        }
    }
}

#[tokio::test]
async fn a_spent_key_seals_nothing_more_until_it_is_rotated() {
    let site = with_limits(Limits { rotate_at: 40, refuse_at: 60 }).await;
    let mut made = 0;
    let refused = loop {
        match site.create(&format!("s{made}"), "v").await {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Unavailable(_)) && made > 5, "{refused:?} after {made}");
    assert_eq!(site.value(&site.app, "s0").await.unwrap(), "v");
    site.app.tend_keys().await.unwrap();
    site.create("one_more", "v").await.unwrap();
}

#[tokio::test]
async fn a_rotation_that_was_cut_short_is_taken_up_and_one_key_is_rotated_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let site =
        Site::with(store::open_sled(folder.path()).unwrap(), Arc::new(MasterKeys::generate().unwrap())).await;
    site.create("a", "a").await.unwrap();
    // As far as the beginning: what a crash right after it leaves.
    let (keyring, masters) = (site.app.keyring(), site.app.provider.keys());
    let mut transaction = crate::store::Transaction::default();
    transaction.put.push((Key::keyring(), keyring.begin_rotation(&masters, 0).unwrap()));
    site.app.commit(&keyring, transaction).await.unwrap().unwrap();
    assert_eq!(site.app.keyring().generations(), [1, 2]);

    let again =
        Arc::new(open(site.store.clone(), provider(&site.master), options(), |_| Ok(())).await.unwrap());
    assert_eq!(again.keyring().generations(), [1, 2]);
    let grant = site.root.authorize_service::<Operate>().unwrap();
    let turn = again.rotation(&grant).unwrap();
    assert!(matches!(again.rotation(&grant).err(), Some(Error::Busy(_))));
    again.tend_keys().await.unwrap();
    assert_eq!(again.keyring().generations(), [1, 2], "it is somebody else's turn");
    drop(turn);
    again.tend_keys().await.unwrap();
    assert_eq!(again.keyring().generations(), [2]);
    assert_eq!(site.value(&again, "a").await.unwrap(), "a");
    assert!(again.authenticate(&site.root_key).is_ok());
}
