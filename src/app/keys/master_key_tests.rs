//! Rekey of the master key with several replicas, an older backup, and a passphrase.

use std::sync::Arc;

use crate::app::fixture::{Fixture, options, reopen};
use crate::app::{App, Error, RestoreOptions, open};
use crate::auth::Operate;
use crate::crypto::{MasterKey, MasterKeyProvider, MasterKeySource, MasterKeys, write_private};
use crate::store::{self, Key, Transaction};

/// A master key, as it stands on a line of its source.
fn line() -> String {
    MasterKey::generate().unwrap().line().unwrap().to_string()
}

/// The service over the same store with other master keys, as another replica has it.
async fn replica(fixture: &Fixture, masters: &Arc<MasterKeys>) -> Arc<App> {
    Arc::new(reopen(&fixture.store, masters).await.unwrap())
}

/// Whether these master keys open the stored keyring.
async fn open_keyring(fixture: &Fixture, masters: &MasterKeys) -> bool {
    masters.open_keyring(&fixture.stored_at(&Key::keyring()).await).is_ok()
}

#[tokio::test]
async fn a_replica_with_the_older_master_key_leaves_a_rekey_to_the_others() {
    let (old, new) = (line(), line());
    let (only_old, both) = (Arc::new(MasterKeys::of(&[&old])), Arc::new(MasterKeys::of(&[&new, &old])));
    let fixture = Fixture::with(store::open_memory().unwrap(), only_old.clone()).await;
    fixture.create("a", "a").await.unwrap();
    let newer = replica(&fixture, &both).await;
    let (keyring, masters) = (newer.core.keyring(), newer.core.master_key.keys());
    let mut begin = Transaction::default();
    begin.put.push((Key::keyring(), keyring.begin_rotation(&masters, 0).unwrap()));
    let revision = newer.core.commit(&keyring, begin).await.unwrap().unwrap();

    fixture.app.core.catalog.at_least(revision).await.unwrap();
    assert!(matches!(fixture.app.keys.tend().await, Err(Error::MasterKeyNotRenewed(_))));
    newer.keys.tend().await.unwrap();
    assert_eq!((newer.core.keyring().generations(), newer.core.keyring().masters().len()), (vec![2], 1));
    assert!(open_keyring(&fixture, &MasterKeys::of(&[&new])).await);
    assert!(!open_keyring(&fixture, &only_old).await);
}

#[tokio::test]
async fn a_backup_of_before_a_rekey_does_not_bring_the_old_master_key_back() {
    let (old, new) = (line(), line());
    let (only_old, both) = (Arc::new(MasterKeys::of(&[&old])), Arc::new(MasterKeys::of(&[&new, &old])));
    let fixture = Fixture::with(store::open_memory().unwrap(), only_old.clone()).await;
    fixture.create("a", "a").await.unwrap();
    let (bytes, _) = fixture.back_up().await;
    let newer = replica(&fixture, &both).await;
    newer.keys.tend().await.unwrap();
    assert!(!open_keyring(&fixture, &only_old).await);

    let restore =
        newer.backup.restore(&newer.access.grant_service::<Operate>(&fixture.root).unwrap()).unwrap();
    restore.take(bytes).await;
    restore.finish(RestoreOptions::default(), |_| {}).await.unwrap();
    // Started again: a process puts a master key into use without being asked only once.
    let newer = replica(&fixture, &both).await;
    newer.keys.tend().await.unwrap();
    assert!(open_keyring(&fixture, &MasterKeys::of(&[&new])).await);
    assert!(!open_keyring(&fixture, &only_old).await);
    assert_eq!(newer.core.keyring().generations(), [2]);
    assert_eq!(fixture.value(&newer, "a").await.unwrap(), "a");
}

#[tokio::test]
async fn a_passphrase_is_replaced_only_by_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("words");
    let (old, new) = ("correct horse battery staple", "another horse battery staple");
    write_private(&file, old.as_bytes(), true).unwrap();
    let source = MasterKeySource::PassphraseFile(file.clone());
    let masters = Arc::new(MasterKeys::read(&source).unwrap());
    let store = store::open_memory().unwrap();
    let mut root = String::new();
    let app = open(store.clone(), MasterKeyProvider::new(source, masters), options(), |credential| {
        credential.expose().clone_into(&mut root);
        Ok(())
    });
    let app = Arc::new(app.await.unwrap());
    let principal = app.access.authenticate(&root).unwrap();
    let permit = app.keys.begin(&app.access.grant_service::<Operate>(&principal).unwrap()).unwrap();
    assert!(matches!(permit.rekey_master_key(|_| {}).await, Err(Error::MasterKeyNotRenewed(_))));
    assert_eq!(app.core.keyring().generations(), [1]);

    write_private(&file, format!("{new}\n{old}\n").as_bytes(), false).unwrap();
    let rekeyed = permit.rekey_master_key(|_| {}).await.unwrap();
    assert_eq!((rekeyed.generation, rekeyed.damaged), (2, 0));
    assert_eq!((app.core.keyring().generations(), app.core.keyring().masters().len()), (vec![2], 1));
    let record = store.get(&Key::keyring()).await.unwrap().unwrap().value;
    assert!(MasterKeys::of(&[old]).open_keyring(&record).is_err());
    assert!(MasterKeys::of(&[new]).open_keyring(&record).is_ok());
    drop(permit);
    app.keys.tend().await.unwrap();
    assert_eq!(app.core.keyring().generations(), [2], "there is nothing left to do");
}
