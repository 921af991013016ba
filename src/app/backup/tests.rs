//! Backup and restore while others write, and of altered stores and files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroizing;

use super::{RestoreOptions, Restored};
use crate::app::fixture::{Fixture, everything};
use crate::app::{Error, Idempotency, SecretUpdate};
use crate::auth::{Delete, Operate, Write};
use crate::crypto::BackupError;
use crate::domain::{Description, RequestId, Value};
use crate::store::{self, Entry, Key, Store, Transaction};

async fn restore(fixture: &Fixture, bytes: &[u8], options: RestoreOptions) -> Result<Restored, Error> {
    let grant = fixture.service_grant::<Operate>();
    let restore = fixture.app.backup.restore(&grant)?;
    for some in bytes.chunks(1000) {
        if !restore.take(some.to_vec()).await {
            break;
        }
    }
    restore.finish(options, |_| {}).await
}

/// All records of a store but the keyring and the digest, which a restore makes itself.
async fn contents(store: &dyn Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let all = store.scan(&Key::all(), None, 100_000).await.unwrap();
    let made = [Key::keyring(), Key::digest(), Key::history_start()];
    // The history is not in a backup.
    let kept = all.into_iter().filter(|(key, _)| !made.contains(key) && key.appended_position().is_none());
    kept.map(|(key, Entry { value, .. })| (key.as_bytes().to_vec(), value)).collect()
}

/// A service with 50 secrets.
async fn with_secrets() -> Fixture {
    let fixture = Fixture::open().await;
    for n in 0..50 {
        fixture.create(&format!("s{n}"), &format!("value {n}")).await.unwrap();
    }
    fixture
}

#[tokio::test]
async fn a_backup_restores_everything_into_every_store_with_the_same_master_key() {
    let from = with_secrets().await;
    let (bytes, of) = from.back_up().await;
    assert_eq!(of, from.app.revision());
    let expected = contents(&*from.store).await;

    let folder = tempfile::tempdir().unwrap();
    for store in [store::open_memory().unwrap(), store::open_sled(folder.path()).unwrap()] {
        let to = Fixture::with(store, from.master.clone()).await;
        to.create("gone_afterwards", "v").await.unwrap();
        let looked =
            restore(&to, &bytes, RestoreOptions { verify_only: true, ..Default::default() }).await.unwrap();
        assert!(looked.now.is_none() && to.value(&to.app, "gone_afterwards").await.is_ok());

        let restored = restore(&to, &bytes, RestoreOptions::default()).await.unwrap();
        let (counts, revision) = restored.now.unwrap();
        assert_eq!((restored.of, restored.damaged, restored.altered, counts.secrets), (of, 0, false, 50));
        assert!(revision > of, "a reader of the source sees no older state here");
        assert_eq!(contents(&*to.store).await, expected);
        // The keys are those of the source, and changes go on.
        let root = to.app.access.authenticate(&from.root_key).unwrap();
        assert!(to.app.access.authenticate(&to.root_key).is_err());
        let to = Fixture { root, ..to };
        assert_eq!(to.value(&to.app, "s7").await.unwrap(), "value 7");
        assert!(to.value(&to.app, "gone_afterwards").await.is_err());
        to.create("next", "v").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_others_write_is_of_one_revision() {
    let fixture = Arc::new(Fixture::open().await);
    for n in 0..600 {
        fixture.create(&format!("s{n}"), "0").await.unwrap();
    }
    // Each round changes two secrets one after the other: at any one revision they differ by one round at most.
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (fixture, stop) = (fixture.clone(), stop.clone());
        async move {
            let mut round = 0;
            while !stop.load(Ordering::SeqCst) {
                round += 1;
                for name in ["s0", "s599"] {
                    let description = Some(Description::parse(&round.to_string()).unwrap());
                    let update = SecretUpdate { description, ..SecretUpdate::default() };
                    fixture.app.secrets.update(&fixture.grant::<Write>(name), update, None).await.unwrap();
                }
                let name = format!("new_{round}");
                fixture.create(&name, "v").await.unwrap();
                fixture.app.secrets.delete(&fixture.grant::<Delete>(&name), None, None).await.unwrap();
            }
        }
    });
    for _ in 0..5 {
        let before = fixture.app.revision();
        let (bytes, of) = fixture.back_up().await;
        assert!(of >= before);
        let to = Fixture::with(store::open_memory().unwrap(), fixture.master.clone()).await;
        restore(&to, &bytes, RestoreOptions::default()).await.unwrap();
        let round = |name: &str| -> u32 {
            let secrets = everything(&to.app);
            let secret = secrets.iter().find(|secret| secret.name.as_str() == name).unwrap();
            secret.description.as_str().parse().unwrap_or(0)
        };
        let (first, last) = (round("s0"), round("s599"));
        assert!(first == last || first == last + 1, "the store never held {first} together with {last}");
        // A secret that was created and deleted is there whole, or not at all.
        assert!((600..=601).contains(&everything(&to.app).len()));
        assert_eq!(to.app.core.catalog.counts().damaged, 0);
    }
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
}

#[tokio::test]
async fn only_a_whole_backup_of_this_master_key_replaces_anything() {
    let fixture = with_secrets().await;
    let (bytes, _) = fixture.back_up().await;
    let before = contents(&*fixture.store).await;
    let invalid = async |bytes: &[u8]| match restore(&fixture, bytes, RestoreOptions::default()).await {
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
    let (foreign, _) = with_secrets().await.back_up().await;
    assert_eq!(invalid(&foreign).await, BackupError::OtherMasterKey);
    assert_eq!(contents(&*fixture.store).await, before);
    assert_eq!(fixture.value(&fixture.app, "s7").await.unwrap(), "value 7");
}

#[tokio::test]
async fn a_backup_with_a_damaged_record_is_restored_only_where_damage_is_accepted() {
    let fixture = with_secrets().await;
    let (key, entry) = fixture.stored(b'v').await.remove(3);
    let mut altered = entry.value;
    altered[70] ^= 1;
    fixture.overwrite(&key, altered).await;
    let (bytes, _) = fixture.back_up().await;
    let refused = restore(&fixture, &bytes, RestoreOptions::default()).await;
    assert!(matches!(refused.err(), Some(Error::BackupDamaged(1, _))));
    let options = RestoreOptions { accept_damaged: true, ..Default::default() };
    assert_eq!(restore(&fixture, &bytes, options).await.unwrap().damaged, 1);
    let mut damaged = 0;
    for n in 0..50 {
        damaged +=
            usize::from(matches!(fixture.value(&fixture.app, &format!("s{n}")).await, Err(Error::Integrity)));
    }
    assert_eq!(damaged, 1);
}

#[tokio::test]
async fn a_foreign_key_is_not_damage_and_is_not_restored() {
    let fixture = with_secrets().await;
    let mut of_no_namespace = fixture.stored(b'v').await.remove(0).0.as_bytes().to_vec();
    of_no_namespace[1] ^= 1;
    let planted = [Key::from_bytes(b"junk"), Key::from_bytes(&of_no_namespace)];
    let before = contents(&*fixture.store).await;
    for key in &planted {
        fixture.overwrite(key, b"something".to_vec()).await;
    }
    let (bytes, _) = fixture.back_up().await;
    let restored = restore(&fixture, &bytes, RestoreOptions::default()).await.unwrap();
    assert_eq!(restored.damaged, 0);
    assert_eq!(contents(&*fixture.store).await, before);

    // Where a namespace cannot be opened, the version may belong to it.
    let (key, entry) = fixture.stored(b'n').await.remove(0);
    let mut altered = entry.value;
    altered[20] ^= 1;
    fixture.overwrite(&key, altered).await;
    let (bytes, _) = fixture.back_up().await;
    let refused = restore(&fixture, &bytes, RestoreOptions::default()).await;
    assert!(matches!(refused.err(), Some(Error::BackupDamaged(151, _)))); // the namespace, and all its records
}

#[tokio::test]
async fn damaged_and_altered_backups_are_accepted_separately() {
    let fixture = with_secrets().await;
    let (key, _) = fixture.stored(b'a').await.remove(0);
    fixture.remove(&key).await;
    let (key, entry) = fixture.stored(b'v').await.remove(3);
    let mut altered = entry.value;
    altered[70] ^= 1;
    fixture.overwrite(&key, altered).await;
    let (bytes, _) = fixture.back_up().await;
    let to = Fixture::with(store::open_memory().unwrap(), fixture.master.clone()).await;
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
    let from = with_secrets().await;
    let (bytes, _) = from.back_up().await;
    let keyring = from.app.core.catalog.keyring();
    restore(&from, &bytes, RestoreOptions::default()).await.unwrap();
    let stale = from.app.core.commit(&keyring, Transaction::default()).await;
    assert!(matches!(stale, Ok(None)), "a plan with the keyring from before is refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_changes_during_restores_find_one_state_or_the_other() {
    let folder = tempfile::tempdir().unwrap();
    for store in [store::open_memory().unwrap(), store::open_sled(folder.path()).unwrap()] {
        let fixture = Arc::new(Fixture::with(store, Fixture::open().await.master).await);
        for n in 0..20 {
            fixture.create(&format!("s{n}"), "old").await.unwrap();
        }
        let (bytes, _) = fixture.back_up().await;
        let stop = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn({
            let (fixture, stop) = (fixture.clone(), stop.clone());
            async move {
                while !stop.load(Ordering::SeqCst) {
                    for n in 0..20 {
                        let read = fixture.value(&fixture.app, &format!("s{n}")).await.unwrap();
                        assert!(read == "old" || read == "new");
                    }
                }
            }
        });
        let writer = tokio::spawn({
            let (fixture, stop) = (fixture.clone(), stop.clone());
            async move {
                let mut round = 0_u128;
                while !stop.load(Ordering::SeqCst) {
                    round += 1;
                    for n in 0..20 {
                        let request = Idempotency {
                            id: RequestId::parse(&uuid::Uuid::from_u128(round << 8 | n).to_string())
                                .unwrap()
                                .unwrap(),
                            body: Zeroizing::new(b"body".to_vec()),
                        };
                        let value = Some(Value::text("new".to_owned()).unwrap());
                        let update = SecretUpdate { value, ..SecretUpdate::default() };
                        let name = format!("s{n}");
                        fixture
                            .app
                            .secrets
                            .update(&fixture.grant::<Write>(&name), update, Some(&request))
                            .await
                            .unwrap();
                    }
                }
            }
        });
        for _ in 0..10 {
            restore(&fixture, &bytes, RestoreOptions::default()).await.unwrap();
        }
        stop.store(true, Ordering::SeqCst);
        reader.await.unwrap();
        writer.await.unwrap();
        assert_eq!(fixture.app.core.catalog.counts().damaged, 0);
    }
}
