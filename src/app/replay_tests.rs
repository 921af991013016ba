//! What somebody who can write to the store's keys tries with older records while the service runs, and with rotations.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tests::{Site, options, provider};
use super::*;
use crate::auth::{ApiKeyId, KeyName, ManageAccess, Operate};
use crate::crypto::{MasterKey, MasterKeySource, MasterKeys, write_private};
use crate::schema::Kind;
use crate::store::{self, Entry, Key};

impl Site {
    async fn make_key(&self) -> (ApiKeyId, String) {
        let grant = self.root.authorize_service::<ManageAccess>().unwrap();
        let home = Namespace::default_namespace();
        let new = NewApiKey { name: KeyName::root(), home, expiry: Expiry::Never };
        let (key, credential, _) = self.app.create_api_key(&grant, new).await.unwrap();
        (key.id, credential.expose().to_owned())
    }

    async fn revoke(&self, id: ApiKeyId) {
        let grant = self.root.authorize_service::<ManageAccess>().unwrap();
        self.app.revoke_api_key(&grant, id).await.unwrap();
    }

    async fn at(&self, key: &Key) -> Vec<u8> {
        self.store.get(key).await.unwrap().unwrap().value
    }

    async fn opened_by(&self, masters: &MasterKeys) -> bool {
        masters.open_keyring(&self.at(&Key::keyring()).await).is_ok()
    }

    async fn backed_up(&self) -> Vec<u8> {
        let mut chunks = self.app.backup(&self.root.authorize_service::<Operate>().unwrap());
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            bytes.extend(chunk.unwrap().bytes);
        }
        bytes
    }
}

fn line() -> String {
    MasterKey::generate().unwrap().line().unwrap().to_string()
}

/// The service over the same store with other master keys, as another replica has it.
async fn replica(site: &Site, masters: &Arc<MasterKeys>) -> Arc<App> {
    let opened = open(site.store.clone(), provider(masters), options(), |_| panic!("not new")).await;
    Arc::new(opened.unwrap())
}

#[tokio::test]
async fn a_digest_that_was_put_back_is_not_carried_on() {
    let site = Site::open().await;
    site.create("a", "a").await.unwrap();
    let (id, credential) = site.make_key().await;
    let place = Key::api_key(&id.0);
    let (digest, unrevoked) = (site.at(&Key::digest()).await, site.at(&place).await);
    site.revoke(id).await;
    site.overwrite(&Key::digest(), digest).await;
    site.overwrite(&place, unrevoked).await;
    assert!(site.app.authenticate(&credential).is_err());
    for name in ["b", "c", "d"] {
        assert!(matches!(site.create(name, "v").await, Err(Error::Integrity)), "{name}");
    }
    // At the next start this is an older copy of the whole store, which only an anchor tells.
}

#[tokio::test]
async fn a_digest_that_came_with_another_commit_makes_nothing_believed() {
    let site = Site::open().await;
    site.create("a", "one").await.unwrap();
    let (id, credential) = site.make_key().await;
    let place = Key::api_key(&id.0);
    let unrevoked = site.at(&place).await;
    site.revoke(id).await;
    let all = site.store.scan(&Key::all(), None, 10_000).await.unwrap();
    site.rotate("a", "two").await;
    let next = site.at(&Key::digest()).await;
    // The whole store as it was, served, and then the digest of the commit that followed, with something else.
    let copy = store::open_memory().unwrap();
    let put = all.into_iter().map(|(key, entry)| (key, entry.value)).collect();
    copy.commit(Transaction { put, ..Transaction::default() }).await.unwrap();
    let app = open(copy.clone(), provider(&site.master), options(), |_| panic!("not new")).await.unwrap();
    assert!(app.authenticate(&credential).is_err());
    let put = vec![(Key::digest(), next), (place, unrevoked)];
    let revision = copy.commit(Transaction { put, ..Transaction::default() }).await.unwrap();
    app.catalog.at_least(revision).await.unwrap();
    assert!(app.authenticate(&credential).is_err());
}

/// Revisions stand beside the records in sled, and no seal covers them.
#[tokio::test]
async fn a_revision_that_was_forged_at_rest_is_noticed() {
    let site = Site::open().await;
    site.create("a", "one").await.unwrap();
    site.create("b", "b").await.unwrap();
    site.rotate("a", "two").await;
    let at = site.store.durable();
    let left: BTreeMap<_, _> =
        site.store.scan(&Key::all(), None, 10_000).await.unwrap().into_iter().collect();
    let opened = async |content: &BTreeMap<Key, Entry>, at: Revision| {
        let store = store::open_memory_of(content.clone(), at);
        open(store, provider(&site.master), options(), |_| panic!("not new")).await
    };
    assert_eq!(site.value(&opened(&left, at).await.unwrap(), "a").await.unwrap(), "two");
    // The store's own, taken back or set to the end of all numbers: changes would be acknowledged and not shown.
    for forged in [Revision(at.0 - 2), Revision(1 << 62), Revision(u64::MAX)] {
        assert!(matches!(opened(&left, forged).await.err(), Some(SetupError::Altered)), "{forged}");
    }
    // That of one record, beyond the store's.
    let id = site.secret("a").id;
    let mut forged = left.clone();
    for (key, entry) in &mut forged {
        if matches!(key.kind(), Kind::Secret(_, of) if of == id) {
            entry.revision = Revision(at.0 + 5);
        }
    }
    let app = opened(&forged, at).await.unwrap();
    assert!(matches!(site.value(&app, "a").await, Err(Error::Integrity)));
    assert_eq!(site.value(&app, "b").await.unwrap(), "b");
}

#[tokio::test]
async fn a_rotation_does_not_make_its_own_what_somebody_put_back() {
    let site = Site::open().await;
    site.create("a", "old").await.unwrap();
    let (id, credential) = site.make_key().await;
    let place = Key::api_key(&id.0);
    let unrevoked = site.at(&place).await;
    let (secret, older) = site.stored(b's').await.remove(0);
    site.rotate("a", "new").await;
    site.revoke(id).await;
    site.overwrite(&place, unrevoked).await;
    site.overwrite(&secret, older.value).await;

    let turn = site.app.rotation(&site.root.authorize_service::<Operate>().unwrap()).unwrap();
    let home = Namespace::default_namespace();
    assert_eq!(turn.rotate_namespace_key(&home, |_| {}).await.unwrap().damaged, 3, "and its versions");
    assert_eq!(turn.rotate_master_key(|_| {}).await.unwrap().damaged, 1);
    assert!(site.app.authenticate(&credential).is_err());
    assert!(matches!(site.value(&site.app, "a").await, Err(Error::Integrity)));
    assert!(site.app.authenticate(&site.root_key).is_ok());
}

#[tokio::test]
async fn a_replica_with_the_older_master_key_leaves_a_rotation_to_the_others() {
    let (old, new) = (line(), line());
    let (just_old, both) = (Arc::new(MasterKeys::of(&[&old])), Arc::new(MasterKeys::of(&[&new, &old])));
    let site = Site::with(store::open_memory().unwrap(), just_old.clone()).await;
    site.create("a", "a").await.unwrap();
    let newer = replica(&site, &both).await;
    let (keyring, masters) = (newer.keyring(), newer.provider.keys());
    let mut begin = Transaction::default();
    begin.put.push((Key::keyring(), keyring.begin_rotation(&masters, 0).unwrap()));
    let revision = newer.commit(&keyring, begin).await.unwrap().unwrap();

    site.app.catalog.at_least(revision).await.unwrap();
    assert!(matches!(site.app.tend_keys().await, Err(Error::MasterKeyNotRenewed(_))));
    newer.tend_keys().await.unwrap();
    assert_eq!((newer.keyring().generations(), newer.keyring().masters().len()), (vec![2], 1));
    assert!(site.opened_by(&MasterKeys::of(&[&new])).await && !site.opened_by(&just_old).await);
}

#[tokio::test]
async fn a_backup_of_before_a_rotation_does_not_bring_the_old_master_key_back() {
    let (old, new) = (line(), line());
    let (just_old, both) = (Arc::new(MasterKeys::of(&[&old])), Arc::new(MasterKeys::of(&[&new, &old])));
    let site = Site::with(store::open_memory().unwrap(), just_old.clone()).await;
    site.create("a", "a").await.unwrap();
    let bytes = site.backed_up().await;
    let newer = replica(&site, &both).await;
    newer.tend_keys().await.unwrap();
    assert!(!site.opened_by(&just_old).await);

    let restore = newer.restore(&site.root.authorize_service::<Operate>().unwrap()).unwrap();
    restore.take(bytes).await;
    restore.finish(RestoreOptions::default(), |_| {}).await.unwrap();
    // As if started anew: what a process has put into use once it does not put into use again by itself.
    let newer = replica(&site, &both).await;
    newer.tend_keys().await.unwrap();
    assert!(!site.opened_by(&just_old).await && site.opened_by(&MasterKeys::of(&[&new])).await);
    assert_eq!(newer.keyring().generations(), [2]);
    assert_eq!(site.value(&newer, "a").await.unwrap(), "a");
}

#[tokio::test]
async fn a_passphrase_is_rotated_only_by_another_one() {
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
    let principal = app.authenticate(&root).unwrap();
    let turn = app.rotation(&principal.authorize_service::<Operate>().unwrap()).unwrap();
    assert!(matches!(turn.rotate_master_key(|_| {}).await, Err(Error::MasterKeyNotRenewed(_))));
    assert_eq!(app.keyring().generations(), [1]);

    write_private(&file, format!("{new}\n{old}\n").as_bytes(), false).unwrap();
    let rotated = turn.rotate_master_key(|_| {}).await.unwrap();
    assert_eq!((rotated.generation, rotated.damaged), (2, 0));
    assert_eq!((app.keyring().generations(), app.keyring().masters().len()), (vec![2], 1));
    let record = store.get(&Key::keyring()).await.unwrap().unwrap().value;
    assert!(MasterKeys::of(&[old]).open_keyring(&record).is_err());
    assert!(MasterKeys::of(&[new]).open_keyring(&record).is_ok());
    drop(turn);
    app.tend_keys().await.unwrap();
    assert_eq!(app.keyring().generations(), [2], "there is nothing left to do");
}
