//! Opening the service over a store that is not new.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fixture::{Fixture, everything, named, options, reopen, reopen_with};
use super::{App, Options, SecretRotation, SecretUpdate, SetupError, ValueSource};
use crate::auth::{Delete, Rotate};
use crate::crypto::MasterKeys;
use crate::domain::{Namespace, Value};
use crate::store::{self, Key, Transaction};

#[tokio::test]
async fn another_master_key_opens_nothing_and_changes_nothing() {
    let fixture = Fixture::open().await;
    fixture.create("a", "a").await.unwrap();
    let refused = reopen(&fixture.store, &Arc::new(MasterKeys::generate().unwrap())).await;
    assert!(matches!(refused.err(), Some(SetupError::WrongMasterKey)));
    assert_eq!(fixture.value(&fixture.app, "a").await.unwrap(), "a");
}

/// Many secrets are read in several pages, with changes of secrets in all of them between those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_changes_while_it_is_opened_is_opened_as_it_is() {
    let fixture = Arc::new(Fixture::open().await);
    for n in 0..1600 {
        fixture.create(&format!("s{n}"), "v").await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (fixture, stop) = (fixture.clone(), stop.clone());
        async move {
            let mut changes = 0;
            while !stop.load(Ordering::SeqCst) {
                fixture.rotate(&format!("s{}", changes * 97 % 1600), "w").await;
                fixture.create(&format!("new_{changes}"), "v").await.unwrap();
                fixture
                    .app
                    .secrets
                    .delete(&fixture.grant::<Delete>(&format!("new_{changes}")), None, None)
                    .await
                    .unwrap();
                changes += 1;
            }
            changes
        }
    });
    let mut opened = Vec::new();
    for _ in 0..20 {
        opened.push(reopen(&fixture.store, &fixture.master).await.unwrap());
    }
    stop.store(true, Ordering::SeqCst);
    assert!(writer.await.unwrap() > 0);
    let newest = |app: &App| -> Vec<_> {
        everything(app).iter().map(|secret| (secret.name.clone(), secret.revision)).collect()
    };
    for app in opened {
        app.at_least(fixture.app.revision()).await.unwrap();
        assert_eq!(newest(&app), newest(&fixture.app));
        assert_eq!(app.core.catalog.counts().damaged, 0);
    }
}

#[tokio::test]
async fn a_store_that_lost_its_keyring_is_refused_and_not_set_up_again() {
    let fixture = Fixture::open().await;
    fixture.create("a", "a").await.unwrap();
    let without_keyring = Transaction { delete: vec![Key::keyring()], ..Transaction::default() };
    fixture.store.commit(without_keyring).await.unwrap();
    assert!(!fixture.store.is_new().await.unwrap(), "no new master key is made for it");
    let refused = reopen(&fixture.store, &Arc::new(MasterKeys::generate().unwrap())).await;
    assert!(matches!(refused.err(), Some(SetupError::KeyringMissing)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_loaded_while_others_write_shows_what_they_wrote() {
    let fixture = Arc::new(Fixture::open().await);
    for n in 0..300 {
        fixture.create(&format!("old_{n}"), "v").await.unwrap();
    }
    let writer = tokio::spawn({
        let fixture = fixture.clone();
        async move {
            for n in 0..300 {
                // A deleted secret's name goes to a new secret; a renamed secret's name becomes free.
                let (old, new) = (named(&format!("old_{n}")), format!("new_{n}"));
                if n % 2 == 0 {
                    fixture.app.secrets.delete(&fixture.grant(old.as_str()), None, None).await.unwrap();
                    fixture.create(old.as_str(), "again").await.unwrap();
                } else {
                    let update =
                        SecretUpdate { new_name: Some(fixture.grant(&new)), ..SecretUpdate::default() };
                    fixture.app.secrets.update(&fixture.grant(old.as_str()), update, None).await.unwrap();
                }
            }
        }
    });
    let mut loaded = Vec::new();
    while !writer.is_finished() {
        loaded.push(fixture.restart().await);
    }
    writer.await.unwrap();
    assert!(!loaded.is_empty());
    loaded.push(fixture.restart().await);

    let expected = everything(&fixture.app);
    assert_eq!(expected.len(), 300);
    for app in loaded {
        app.core.catalog.at_least(fixture.app.revision()).await.unwrap();
        assert_eq!(everything(&app), expected);
    }
}

/// A store of an earlier release has a keyring of an older format and no digest. Putting that keyring back and removing the
/// digest does not make the store one of an earlier release again.
#[tokio::test]
async fn a_store_passes_for_one_of_an_earlier_release_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let archive = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1.tar.gz");
    let unpacked =
        std::process::Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()).status();
    assert!(unpacked.unwrap().success());
    let data = folder.path().join("data");
    let line = std::fs::read_to_string(data.join("master.key")).unwrap();
    let master = Arc::new(MasterKeys::of(&[line.trim()]));
    let store = store::open_sled(&data).unwrap();
    let first = store.get(&Key::keyring()).await.unwrap().unwrap();
    assert!(store.get(&Key::digest()).await.unwrap().is_none());
    let opened = || reopen(&store, &master);
    // That release wrote no anchor.
    let anchor = folder.path().join("anchor");
    std::fs::write(&anchor, "").unwrap();
    let anchored = Options { anchor_file: Some(anchor), ..options() };
    let refused = reopen_with(&store, &master, anchored).await;
    assert!(matches!(refused.err(), Some(SetupError::Altered)));
    assert!(store.get(&Key::digest()).await.unwrap().is_none());
    drop(opened().await.unwrap());
    drop(opened().await.unwrap());

    // Something is sealed since then.
    let put_back = Transaction {
        put: vec![(Key::keyring(), first.value.clone())],
        delete: vec![Key::digest()],
        ..Transaction::default()
    };
    let app = opened().await.unwrap();
    let root_key = std::fs::read_to_string(data.join("root.key")).unwrap();
    let root = app.access.authenticate(root_key.trim()).unwrap();
    let home = Namespace::default_namespace();
    let grant = app.access.grant(&root, &home, &named("plain")).unwrap();
    app.secrets.delete(&grant, None, None).await.unwrap();
    let source = ValueSource::Value(Value::text("later".to_owned()).unwrap());
    let rotate = app.access.grant::<Rotate>(&root, &home, &named("rotated")).unwrap();
    app.secrets.rotate(&rotate, SecretRotation::of(source), None).await.unwrap();
    drop(app);
    store.commit(put_back).await.unwrap();
    assert!(matches!(opened().await.err(), Some(SetupError::Altered)));
}
