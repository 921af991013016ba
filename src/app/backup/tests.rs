//! Backups over the app: what the wire can not arrange.

use std::collections::BTreeMap;

use super::*;
use crate::app::tests::{Site, everything, named};
use crate::app::{App, Error, Update};
use crate::auth::{Operate, Write};
use crate::domain::{Description, Revision};
use crate::store::{self, Entry, Store};

async fn backup(site: &Site) -> Result<(Vec<u8>, Revision), Error> {
    let grant = site.root.authorize_service::<Operate>().unwrap();
    let mut chunks = site.app.backup(&grant);
    let (mut bytes, mut ended_at) = (Vec::new(), None);
    while let Some(chunk) = chunks.recv().await {
        let chunk = chunk?;
        assert!(ended_at.is_none(), "nothing comes behind the end");
        assert!(chunk.records <= chunk.expected);
        bytes.extend(chunk.bytes);
        ended_at = chunk.ended_at;
    }
    Ok((bytes, ended_at.expect("a backup says what it is of")))
}

async fn restore(site: &Site, bytes: &[u8], options: RestoreOptions) -> Result<Restored, Error> {
    let grant = site.root.authorize_service::<Operate>().unwrap();
    let restore = site.app.restore(&grant)?;
    for some in bytes.chunks(1000) {
        if !restore.take(some.to_vec()).await {
            break;
        }
    }
    restore.finish(options, |_| {}).await
}

/// All that a store holds but for revisions, the keyring's wraps and the digest, which a restore gives anew.
async fn content(store: &dyn Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let all = store.scan(&store::Key::all(), None, 100_000).await.unwrap();
    let anew = [store::Key::keyring(), store::Key::digest()];
    let kept = all.into_iter().filter(|(key, _)| !anew.contains(key));
    kept.map(|(key, Entry { value, .. })| (key.as_bytes().to_vec(), value)).collect()
}

async fn furnished() -> Site {
    let site = Site::open().await;
    for n in 0..50 {
        site.create(&format!("s{n}"), &format!("value {n}")).await.unwrap();
    }
    site
}

#[tokio::test]
async fn a_backup_restores_everything_into_every_store_with_the_same_master_key() {
    let from = furnished().await;
    let (bytes, of) = backup(&from).await.unwrap();
    assert_eq!(of, from.app.revision());
    let expected = content(&*from.store).await;

    let folder = tempfile::tempdir().unwrap();
    for store in [store::open_memory().unwrap(), store::open_sled(folder.path()).unwrap()] {
        let to = Site::with(store, from.master.clone()).await;
        to.create("gone_afterwards", "v").await.unwrap();
        let looked =
            restore(&to, &bytes, RestoreOptions { verify_only: true, ..Default::default() }).await.unwrap();
        assert!(looked.now.is_none() && to.value(&to.app, "gone_afterwards").await.is_ok());

        let restored = restore(&to, &bytes, RestoreOptions::default()).await.unwrap();
        let (counts, revision) = restored.now.unwrap();
        assert_eq!((restored.of, restored.damaged, restored.altered, counts.secrets), (of, 0, false, 50));
        assert!(revision > of, "whoever has seen the source sees no older state here");
        assert_eq!(content(&*to.store).await, expected);
        // The keys are those of the source, and changes go on.
        let root = to.app.authenticate(&from.root_key).unwrap();
        assert!(to.app.authenticate(&to.root_key).is_err());
        let to = Site { root, ..to };
        assert_eq!(to.value(&to.app, "s7").await.unwrap(), "value 7");
        assert!(to.value(&to.app, "gone_afterwards").await.is_err());
        to.create("next", "v").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_others_write_is_of_one_revision() {
    let site = std::sync::Arc::new(Site::open().await);
    for n in 0..600 {
        site.create(&format!("s{n}"), "0").await.unwrap();
    }
    // Each round changes two secrets one after the other: at any one revision they differ by one round at most.
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = tokio::spawn({
        let (site, stop) = (site.clone(), stop.clone());
        async move {
            let mut round = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                round += 1;
                for name in ["s0", "s599"] {
                    let description = Some(Description::parse(&round.to_string()).unwrap());
                    let update = Update { description, ..Update::default() };
                    site.app.update(&site.grant::<Write>(), &named(name), update, None).await.unwrap();
                }
                let name = format!("new_{round}");
                site.create(&name, "v").await.unwrap();
                site.app.delete(&site.grant::<Write>(), &named(&name), None, None).await.unwrap();
            }
        }
    });
    for _ in 0..5 {
        let before = site.app.revision();
        let (bytes, of) = backup(&site).await.unwrap();
        assert!(of >= before);
        let to = Site::with(store::open_memory().unwrap(), site.master.clone()).await;
        restore(&to, &bytes, RestoreOptions::default()).await.unwrap();
        let round = |name: &str| -> u32 {
            let there = everything(&to.app).into_iter().find(|secret| secret.name.as_str() == name).unwrap();
            there.description.as_str().parse().unwrap_or(0)
        };
        let (first, last) = (round("s0"), round("s599"));
        assert!(first == last || first == last + 1, "{first} and {last} were never there together");
        // What was made and deleted is there whole or not at all.
        assert!((600..=601).contains(&everything(&to.app).len()));
        assert_eq!(to.app.catalog.counts().damaged, 0);
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    writer.await.unwrap();
}

#[tokio::test]
async fn what_is_no_whole_backup_of_this_master_key_replaces_nothing() {
    let site = furnished().await;
    let (bytes, _) = backup(&site).await.unwrap();
    let before = content(&*site.store).await;
    let invalid = async |bytes: &[u8]| match restore(&site, bytes, RestoreOptions::default()).await {
        Err(Error::BackupInvalid(why)) => why,
        other => panic!("not refused: {:?}", other.err()),
    };
    assert_eq!(invalid(b"").await, BackupError::CutShort);
    assert_eq!(
        invalid(b"something else, and long enough to be told from a backup").await,
        BackupError::NotABackup
    );
    for cut in [10, 101, 500, bytes.len() - 1] {
        assert_eq!(invalid(&bytes[..cut]).await, BackupError::CutShort);
    }
    assert_eq!(invalid(&[&bytes[..], b"x"].concat()).await, BackupError::TooLong);
    for at in (0..bytes.len()).step_by(101) {
        let mut altered = bytes.clone();
        altered[at] ^= 0x10;
        invalid(&altered).await;
    }
    let (foreign, _) = backup(&furnished().await).await.unwrap();
    assert_eq!(invalid(&foreign).await, BackupError::OtherMasterKey);
    assert_eq!(content(&*site.store).await, before);
    assert_eq!(site.value(&site.app, "s7").await.unwrap(), "value 7");
}

#[tokio::test]
async fn a_backup_with_a_damaged_record_is_restored_only_where_that_is_accepted() {
    let site = furnished().await;
    let (key, entry) = site.stored(b'v').await.remove(3);
    let mut altered = entry.value;
    altered[70] ^= 1;
    site.overwrite(&key, altered).await;
    let (bytes, _) = backup(&site).await.unwrap();
    let refused = restore(&site, &bytes, RestoreOptions::default()).await;
    assert!(matches!(refused.err(), Some(Error::BackupDamaged(1, _))));
    let options = RestoreOptions { accept_damaged: true, ..Default::default() };
    assert_eq!(restore(&site, &bytes, options).await.unwrap().damaged, 1);
    let mut damaged = 0;
    for n in 0..50 {
        damaged +=
            usize::from(matches!(site.value(&site.app, &format!("s{n}")).await, Err(Error::Integrity)));
    }
    assert_eq!(damaged, 1);
}

#[tokio::test]
async fn what_is_none_of_the_services_is_neither_damage_nor_restored() {
    let site = furnished().await;
    let mut of_no_namespace = site.stored(b'v').await.remove(0).0.as_bytes().to_vec();
    of_no_namespace[1] ^= 1;
    let planted = [store::Key::from_bytes(b"junk"), store::Key::from_bytes(&of_no_namespace)];
    let before = content(&*site.store).await;
    for key in &planted {
        site.overwrite(key, b"something".to_vec()).await;
    }
    let (bytes, _) = backup(&site).await.unwrap();
    let restored = restore(&site, &bytes, RestoreOptions::default()).await.unwrap();
    assert_eq!(restored.damaged, 0);
    assert_eq!(content(&*site.store).await, before);

    // Where a namespace can not be opened, the version may be one of its.
    let (key, entry) = site.stored(b'n').await.remove(0);
    let mut altered = entry.value;
    altered[20] ^= 1;
    site.overwrite(&key, altered).await;
    let (bytes, _) = backup(&site).await.unwrap();
    let refused = restore(&site, &bytes, RestoreOptions::default()).await;
    assert!(matches!(refused.err(), Some(Error::BackupDamaged(151, _)))); // the namespace, and all that is in it
}

#[tokio::test]
async fn damaged_and_altered_are_accepted_apart() {
    let site = furnished().await;
    let (key, _) = site.stored(b'a').await.remove(0);
    let gone = store::Transaction { delete: vec![key], ..store::Transaction::default() };
    site.store.commit(gone).await.unwrap();
    let (key, entry) = site.stored(b'v').await.remove(3);
    let mut altered = entry.value;
    altered[70] ^= 1;
    site.overwrite(&key, altered).await;
    let (bytes, _) = backup(&site).await.unwrap();
    let to = Site::with(store::open_memory().unwrap(), site.master.clone()).await;
    let accepting = |accept_damaged, accept_altered| {
        restore(&to, &bytes, RestoreOptions { accept_damaged, accept_altered, ..Default::default() })
    };
    let options = RestoreOptions { verify_only: true, ..Default::default() };
    let looked = restore(&to, &bytes, options).await.unwrap();
    assert_eq!((looked.damaged, looked.altered), (1, true));
    for (damaged, altered) in [(false, false), (false, true)] {
        let refused = accepting(damaged, altered).await;
        assert!(matches!(refused.err(), Some(Error::BackupDamaged(1, _))));
    }
    let refused = accepting(true, false).await;
    assert!(matches!(refused.err(), Some(Error::BackupInvalid(BackupError::Unvouched))));
    assert_eq!(accepting(true, true).await.unwrap().damaged, 1);
}

#[tokio::test]
async fn a_change_that_was_planned_before_a_restore_is_not_made_of_two_states() {
    let from = furnished().await;
    let (bytes, _) = backup(&from).await.unwrap();
    let keyring = from.app.catalog.keyring();
    restore(&from, &bytes, RestoreOptions::default()).await.unwrap();
    let stale = App::commit(&from.app, &keyring, store::Transaction::default()).await;
    assert!(matches!(stale, Ok(None)), "what was sealed with the keyring from before is refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_changes_during_restores_find_one_state_or_the_other() {
    let folder = tempfile::tempdir().unwrap();
    for store in [store::open_memory().unwrap(), store::open_sled(folder.path()).unwrap()] {
        let site = std::sync::Arc::new(Site::with(store, Site::open().await.master).await);
        for n in 0..20 {
            site.create(&format!("s{n}"), "old").await.unwrap();
        }
        let (bytes, _) = backup(&site).await.unwrap();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let reader = tokio::spawn({
            let (site, stop) = (site.clone(), stop.clone());
            async move {
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    for n in 0..20 {
                        let read = site.value(&site.app, &format!("s{n}")).await.unwrap();
                        assert!(read == "old" || read == "new");
                    }
                }
            }
        });
        let writer = tokio::spawn({
            let (site, stop) = (site.clone(), stop.clone());
            async move {
                let mut round = 0_u128;
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    round += 1;
                    for n in 0..20 {
                        let request = crate::app::Idempotency {
                            id: crate::domain::RequestId::parse(
                                &uuid::Uuid::from_u128(round << 8 | n).to_string(),
                            )
                            .unwrap()
                            .unwrap(),
                            body: zeroize::Zeroizing::new(b"body".to_vec()),
                        };
                        let value = Some(crate::domain::Value::text("new".to_owned()).unwrap());
                        let update = Update { value, ..Update::default() };
                        let name = named(&format!("s{n}"));
                        site.app.update(&site.grant::<Write>(), &name, update, Some(&request)).await.unwrap();
                    }
                }
            }
        });
        for _ in 0..10 {
            restore(&site, &bytes, RestoreOptions::default()).await.unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        reader.await.unwrap();
        writer.await.unwrap();
        assert_eq!(site.app.catalog.counts().damaged, 0);
    }
}
