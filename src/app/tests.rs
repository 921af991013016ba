//! What the wire can not bring about: records altered under the service's hands, a store that fails, a catalog that is
//! loaded while others write.

use std::sync::Arc;

use super::*;
use crate::auth::{Grant, List, Principal, Read, RightType, Rotate, Write};
use crate::crypto::{MasterKeyProvider, MasterKeySource, MasterKeys, write_private};
use crate::domain::{
    Description, Filter, Metadata, Namespace, Order, OrderBy, Secret, SecretName, Start, Value,
};
use crate::schema::Kind;
use crate::store::{self, Entry, Key};

pub(super) struct Site {
    pub(super) app: Arc<App>,
    pub(super) store: Arc<dyn Store>,
    pub(super) master: Arc<MasterKeys>,
    pub(super) root: Principal,
    pub(super) root_key: String,
}

impl Site {
    pub(super) async fn open() -> Self {
        Self::over(store::open_memory().unwrap()).await
    }

    async fn over(store: Arc<dyn Store>) -> Self {
        Self::with(store, Arc::new(MasterKeys::generate().unwrap())).await
    }

    pub(super) async fn with(store: Arc<dyn Store>, master: Arc<MasterKeys>) -> Self {
        Self::with_options(store, master, options()).await
    }

    pub(super) async fn with_options(
        store: Arc<dyn Store>,
        master: Arc<MasterKeys>,
        options: Options,
    ) -> Self {
        let mut root_key = String::new();
        let app = open(store.clone(), provider(&master), options, |credential| {
            root_key = credential.expose().to_owned();
            Ok(())
        });
        let app = Arc::new(app.await.unwrap());
        let root = app.authenticate(&root_key).unwrap();
        Self { app, store, master, root, root_key }
    }

    /// Waits until the store can be written to again.
    async fn serves_again(&self) {
        while self.app.check().await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    /// The service started anew over the same store.
    pub(super) async fn again(&self) -> App {
        open(self.store.clone(), provider(&self.master), options(), |_| panic!("the store is not new"))
            .await
            .unwrap()
    }

    pub(super) fn grant<R: RightType>(&self) -> Grant<R> {
        self.root.authorize(&Namespace::default_namespace()).unwrap()
    }

    /// The secret of this name, as the catalog has it.
    pub(super) fn secret(&self, name: &str) -> Arc<Secret> {
        let there = self.app.catalog.namespace(&Namespace::default_namespace()).unwrap();
        there.secret(&named(name)).unwrap()
    }

    pub(super) async fn create(&self, name: &str, value: &str) -> Result<Secret, Error> {
        let new = NewSecret {
            name: named(name),
            source: Source::Value(Value::text(value.to_owned()).unwrap()),
            description: Description::default(),
            metadata: Metadata::default(),
        };
        Ok(self.app.create(&self.grant::<Write>(), new, None).await?.secret)
    }

    pub(super) async fn rotate(&self, name: &str, value: &str) {
        let source = Source::Value(Value::text(value.to_owned()).unwrap());
        let rotation = Rotation { source, etag: None };
        self.app.rotate(&self.grant::<Rotate>(), &named(name), rotation, None).await.unwrap();
    }

    pub(super) async fn value(&self, app: &App, name: &str) -> Result<String, Error> {
        let found = app.get(&self.grant::<Read>(), &named(name), None, Revision::default()).await?;
        match found.value {
            Value::Text(text) => Ok(text.to_string()),
            Value::Binary(_) => panic!("expected text"),
        }
    }

    /// The keys and entries of a kind that begin with a byte.
    pub(super) async fn stored(&self, kind: u8) -> Vec<(Key, Entry)> {
        self.store.scan(&Key::from_bytes(&[kind]), None, 1000).await.unwrap()
    }

    /// Puts bytes at a key behind the service's back.
    pub(super) async fn overwrite(&self, key: &Key, value: Vec<u8>) {
        let transaction = Transaction { put: vec![(key.clone(), value)], ..Transaction::default() };
        let revision = self.store.commit(transaction).await.unwrap();
        self.app.catalog.at_least(revision).await.unwrap();
    }
}

thread_local! {
    /// Gone when the test's thread ends.
    static KEYS: tempfile::TempDir = tempfile::tempdir().unwrap();
}

/// These keys, in a file of their own.
pub(super) fn provider(master: &Arc<MasterKeys>) -> MasterKeyProvider {
    let id = master.current_id().unwrap().to_string();
    let file = KEYS.with(|folder| folder.path().join(id));
    if !file.exists() {
        write_private(&file, master.lines().as_bytes(), true).unwrap();
    }
    let source = MasterKeySource::File(file);
    // A rotation has put other keys there; passphrases are not there.
    match MasterKeys::read(&source) {
        Ok(keys) => MasterKeyProvider::new(source, keys),
        Err(_) => MasterKeyProvider::new(source, master.clone()),
    }
}

pub(super) fn options() -> Options {
    Options { data_dir: std::env::temp_dir(), ..Options::default() }
}

pub(super) fn named(name: &str) -> SecretName {
    SecretName::parse(name).unwrap()
}

#[tokio::test]
async fn an_altered_secret_is_refused_and_the_rest_is_served() {
    let site = Site::open().await;
    let altered = site.create("altered", "a").await.unwrap();
    site.create("whole", "w").await.unwrap();
    let of_altered = |key: &Key| matches!(key.kind(), Kind::Secret(_, id) if id == altered.id);
    let (key, entry) = site.stored(b's').await.into_iter().find(|(key, _)| of_altered(key)).unwrap();
    let mut value = entry.value;
    *value.last_mut().unwrap() ^= 1;
    site.overwrite(&key, value).await;

    for app in [&*site.app, &site.again().await] {
        assert!(matches!(site.value(app, "altered").await, Err(Error::Integrity)));
        assert_eq!(site.value(app, "whole").await.unwrap(), "w");
        assert_eq!(app.catalog.counts().damaged, 1);
        // Neither free for another secret nor said to be missing.
        let update = Update { description: Some(Description::default()), ..Update::default() };
        let refused = app.update(&site.grant::<Write>(), &named("altered"), update, None).await;
        assert!(matches!(refused.err(), Some(Error::Integrity)));
    }
    assert!(matches!(site.create("altered", "b").await.err(), Some(Error::Integrity)));
    let onto = Update { new_name: Some(named("altered")), ..Update::default() };
    let renamed = site.app.update(&site.grant::<Write>(), &named("whole"), onto, None).await;
    assert!(matches!(renamed.err(), Some(Error::Integrity)));
}

#[tokio::test]
async fn a_value_altered_swapped_or_taken_away_is_refused() {
    let site = Site::open().await;
    for name in ["a", "b", "c", "d"] {
        site.create(name, name).await.unwrap();
    }
    let versions = site.stored(b'v').await;
    let [(a, of_a), (b, of_b), (c, of_c), (d, _)] = versions.as_slice() else { panic!("four versions") };
    site.overwrite(a, of_b.value.clone()).await;
    site.overwrite(b, of_a.value.clone()).await;
    let mut altered = of_c.value.clone();
    altered[10] ^= 1;
    site.overwrite(c, altered).await;
    let gone = Transaction { delete: vec![d.clone()], ..Transaction::default() };
    site.store.commit(gone).await.unwrap();
    for name in ["a", "b", "c", "d"] {
        assert!(matches!(site.value(&site.app, name).await, Err(Error::Integrity)), "{name}");
    }
}

#[tokio::test]
async fn an_altered_namespace_is_refused_and_others_are_served() {
    let site = Site::open().await;
    site.create("a", "a").await.unwrap();
    let (key, entry) = site.stored(b'n').await.remove(0);
    let mut value = entry.value;
    value[20] ^= 1;
    site.overwrite(&key, value).await;

    let app = site.again().await;
    assert!(matches!(site.value(&app, "a").await, Err(Error::Integrity)));
    let filter = Filter {
        namespace: Namespace::default_namespace(),
        prefix: "".into(),
        metadata: Metadata::default(),
    };
    let order = Order { by: OrderBy::Name, descending: false };
    let query = ListQuery { filter, order, start: Start::Offset(0), limit: 1 };
    let listed = app.list(&site.grant::<List>(), query, Revision::default()).await;
    assert!(matches!(listed.err(), Some(Error::Integrity)));
}

#[tokio::test]
async fn another_master_key_opens_nothing_and_changes_nothing() {
    let site = Site::open().await;
    site.create("a", "a").await.unwrap();
    let refused =
        open(site.store.clone(), provider(&Arc::new(MasterKeys::generate().unwrap())), options(), |_| {
            panic!("not new")
        })
        .await;
    assert!(matches!(refused.err(), Some(SetupError::WrongMasterKey)));
    assert_eq!(site.value(&site.app, "a").await.unwrap(), "a");
}

#[tokio::test]
async fn a_store_that_lost_its_keyring_is_refused_and_not_set_up_anew() {
    let site = Site::open().await;
    site.create("a", "a").await.unwrap();
    let gone = Transaction { delete: vec![Key::keyring()], ..Transaction::default() };
    site.store.commit(gone).await.unwrap();
    assert!(!site.store.is_new().await.unwrap(), "no new master key is made for it");
    let refused =
        open(site.store.clone(), provider(&Arc::new(MasterKeys::generate().unwrap())), options(), |_| {
            panic!("not new")
        })
        .await;
    assert!(matches!(refused.err(), Some(SetupError::KeyringMissing)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_loaded_while_others_write_shows_what_they_wrote() {
    let site = Arc::new(Site::open().await);
    for n in 0..300 {
        site.create(&format!("old_{n}"), "v").await.unwrap();
    }
    let writer = tokio::spawn({
        let site = site.clone();
        async move {
            for n in 0..300 {
                // Names pass from deleted secrets to new ones and through renames.
                let (old, new) = (named(&format!("old_{n}")), format!("new_{n}"));
                let grant = site.grant::<Write>();
                if n % 2 == 0 {
                    site.app.delete(&grant, &old, None, None).await.unwrap();
                    site.create(old.as_str(), "again").await.unwrap();
                } else {
                    let update = Update { new_name: Some(named(&new)), ..Update::default() };
                    site.app.update(&grant, &old, update, None).await.unwrap();
                }
            }
        }
    });
    let mut loaded = Vec::new();
    while !writer.is_finished() {
        loaded.push(site.again().await);
    }
    writer.await.unwrap();
    assert!(!loaded.is_empty());
    loaded.push(site.again().await);

    let expected = everything(&site.app);
    assert_eq!(expected.len(), 300);
    for app in loaded {
        app.catalog.at_least(site.app.revision()).await.unwrap();
        assert_eq!(everything(&app), expected);
    }
}

pub(super) fn everything(app: &App) -> Vec<Arc<Secret>> {
    let namespace = Namespace::default_namespace();
    let filter = Filter { namespace: namespace.clone(), prefix: "".into(), metadata: Metadata::default() };
    let order = Order { by: OrderBy::Name, descending: false };
    let there = app.catalog.namespace(&namespace).unwrap();
    there.page(&filter, order, &Start::Offset(0), 10_000, Revision::default()).0.items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_can_not_write_refuses_changes_serves_reads_and_recovers() {
    let (store, faults) = store::fault::open_faulty_memory();
    let site = Site::over(store).await;
    site.create("a", "a").await.unwrap();
    faults.refuse_writes();
    assert!(matches!(site.create("b", "b").await.err(), Some(Error::Unavailable(_))));
    assert!(site.app.check().await.is_err());
    assert!(site.app.serves().is_ok());
    assert_eq!(site.value(&site.app, "a").await.unwrap(), "a");
    assert!(matches!(site.value(&site.app, "b").await, Err(Error::SecretNotFound(..))));
    faults.end();
    site.serves_again().await;
    site.create("b", "b").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_sync_failed_is_shown_once_it_is_known_to_be_durable() {
    let (store, faults) = store::fault::open_faulty_memory();
    let site = Site::over(store).await;
    site.create("a", "a").await.unwrap();
    faults.fail_sync_after(0);
    faults.keep_unsynced();
    assert!(matches!(site.create("b", "b").await.err(), Some(Error::Unavailable(_))));
    assert!(matches!(site.value(&site.app, "b").await, Err(Error::SecretNotFound(..))));
    faults.fail_sync_after(usize::MAX);
    site.serves_again().await;
    assert_eq!(site.value(&site.app, "b").await.unwrap(), "b");
    assert!(matches!(site.create("b", "c").await.err(), Some(Error::SecretAlreadyExists(..))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_lost_is_made_when_it_is_asked_for_again() {
    let (store, faults) = store::fault::open_faulty_memory();
    let site = Arc::new(Site::over(store).await);
    site.create("a", "a").await.unwrap();
    let request = || Idempotency {
        id: crate::domain::RequestId::parse("0197f3a0-5c1e-7000-8000-4d6f6e657921").unwrap().unwrap(),
        body: zeroize::Zeroizing::new(b"body".to_vec()),
    };
    // Its receipt can be read until the store is opened again, and is gone then.
    faults.fail_sync_after(0);
    let delete = |site: Arc<Site>, request: Idempotency| async move {
        site.app.delete(&site.grant::<Write>(), &named("a"), None, Some(&request)).await
    };
    assert!(delete(site.clone(), request()).await.is_err());
    assert_eq!(site.stored(b'r').await.len(), 1, "the broken store shows the receipt");
    let again = tokio::spawn(delete(site.clone(), request()));
    while !again.is_finished() && site.app.revision() == Revision(2) {
        faults.end();
        let _ = site.app.check().await;
        let _ = site.create("another", "takes the next revision").await;
    }
    again.await.unwrap().unwrap();
    assert!(
        matches!(site.value(&site.app, "a").await, Err(Error::SecretNotFound(..))),
        "told that it was deleted"
    );
}

#[tokio::test]
async fn receipts_go_when_their_time_has_passed_and_not_before() {
    let site = Site::open().await;
    let request = Idempotency {
        id: crate::domain::RequestId::parse("0197f3a0-5c1e-7000-8000-4d6f6e657921").unwrap().unwrap(),
        body: zeroize::Zeroizing::new(b"body".to_vec()),
    };
    let made = site.create("a", "a").await.unwrap();
    site.app.delete(&site.grant::<Write>(), &named("a"), None, Some(&request)).await.unwrap();
    assert_eq!(site.app.remove_expired_idempotency_records().await.unwrap(), 0);
    let again = site.app.delete(&site.grant::<Write>(), &named("a"), None, Some(&request)).await.unwrap();
    assert_eq!(again.id, made.id);
    assert_eq!(site.stored(b'r').await.len(), 1);
    // One that can not be opened any more stays for as long as one that was made just before that was noticed.
    let (key, entry) = site.stored(b'r').await.remove(0);
    let mut altered = entry.value.clone();
    *altered.last_mut().unwrap() ^= 1;
    site.overwrite(&key, altered).await;
    let app = site.again().await;
    assert_eq!(app.remove_expired_idempotency_records().await.unwrap(), 0);
    let again = app.delete(&site.grant::<Write>(), &named("a"), None, Some(&request)).await;
    assert!(matches!(again.err(), Some(Error::Integrity)));
    let since = Timestamp::from_micros(now().as_micros() - 24 * 60 * 60 * 1_000_000);
    app.damaged_idempotency_records.lock().unwrap().values_mut().for_each(|known| *known = since);
    assert_eq!(app.remove_expired_idempotency_records().await.unwrap(), 1);
    assert!(site.stored(b'r').await.is_empty());
}
