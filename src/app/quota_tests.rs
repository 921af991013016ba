//! What quotas count: the running totals are those of a count from scratch, whatever is done, over each engine, and however the state
//! was loaded. And what they refuse.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::fixture::{Fixture, options, reopen_with};
use super::{
    App, Error, NewSecret, Options, Promotion, RestoreOptions, SecretRotation, SecretUpdate, ValueSource,
    VersionChange,
};
use crate::audit::Names;
use crate::auth::{Delete, Grant, Operate, RightType, Rotate, Write};
use crate::crypto::MasterKeys;
use crate::domain::{Clock, Description, Metadata, Namespace, SecretId, SecretName, Value};
use crate::limits::{Amount, Quota, QuotaLimit, QuotaReached};
use crate::schema::Kind;
use crate::store::{self, Key, Pages, Store};

const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// More bytes than the header, the wrapped data key, the nonces and the tags of a sealed value have, and the byte for its kind.
const SEALED: u64 = 5 + 60 + 28 + 1;
const NAMESPACES: [&str; 4] = ["a", "a/b", "a/b/c", "d"];

fn namespace(name: &str) -> Namespace {
    Namespace::parse(name).unwrap()
}

fn quota(namespace: &str, secrets: Option<u64>, bytes: Option<u64>) -> Quota {
    let namespace = Some(namespace).filter(|name| !name.is_empty()).map(self::namespace);
    Quota { namespace, secrets, bytes }
}

/// Quotas with room for everything.
fn wide() -> Arc<[Quota]> {
    let most = Some(u64::MAX);
    [quota("", most, most), quota("a", None, most), quota("a/b", most, None), quota("d", None, most)].into()
}

/// A service with quotas, whose clock the test moves.
struct Site {
    fixture: Fixture,
    clock: Clock,
    quotas: Arc<[Quota]>,
}

impl Site {
    async fn over(store: Arc<dyn Store>, quotas: Arc<[Quota]>) -> Self {
        let clock = Clock::default();
        let master = Arc::new(MasterKeys::generate().unwrap());
        let fixture = Fixture::with_options(store, master, with(&quotas, &clock)).await;
        Self { fixture, clock, quotas }
    }

    /// The service started again over the same store, with these quotas.
    async fn restart(&self, quotas: &Arc<[Quota]>) -> App {
        reopen_with(&self.fixture.store, &self.fixture.master, with(quotas, &self.clock)).await.unwrap()
    }

    fn grant<R: RightType>(&self, (namespace, name): (&str, &str)) -> Grant<R> {
        let name = SecretName::parse(name).unwrap();
        self.fixture.app.access.grant(&self.fixture.root, &self::namespace(namespace), &name).unwrap()
    }

    async fn create(&self, at: (&str, &str), value: Vec<u8>) -> Result<SecretId, Error> {
        let new = NewSecret {
            source: ValueSource::Value(Value::binary(value).unwrap()),
            description: Description::default(),
            metadata: Metadata::default(),
            expiry: None,
            rotation_policy: None,
        };
        Ok(self.fixture.app.secrets.create(&self.grant::<Write>(at), new, None).await?.secret.id)
    }

    async fn rotate(&self, at: (&str, &str), value: Vec<u8>, stage: bool) -> Result<(), Error> {
        let source = ValueSource::Value(Value::binary(value).unwrap());
        let rotation = SecretRotation { stage, ..SecretRotation::of(source) };
        self.fixture.app.secrets.rotate(&self.grant::<Rotate>(at), rotation, None).await.map(drop)
    }

    async fn update(&self, at: (&str, &str), update: SecretUpdate) -> Result<(), Error> {
        self.fixture.app.secrets.update(&self.grant::<Write>(at), update, None).await.map(drop)
    }

    async fn promote(&self, at: (&str, &str), number: u32) -> Result<(), Error> {
        let promotion = Promotion { number, grace_period: None, claim: None, etag: None };
        self.fixture.app.secrets.promote(&self.grant::<Rotate>(at), &promotion, None).await.map(drop)
    }

    async fn destroy(&self, at: (&str, &str), number: u32) -> Result<(), Error> {
        let change = VersionChange { number, etag: None };
        self.fixture.app.secrets.destroy_version(&self.grant::<Delete>(at), &change, None).await.map(drop)
    }

    async fn delete(&self, at: (&str, &str)) -> Result<SecretId, Error> {
        let deleted = self.fixture.app.secrets.delete(&self.grant::<Delete>(at), None, None).await?;
        Ok(deleted.id)
    }

    async fn undelete(&self, in_namespace: &str, id: SecretId) -> Result<(), Error> {
        let (app, root) = (&self.fixture.app, &self.fixture.root);
        let grant = app.access.grant_namespace::<Delete>(root, &namespace(in_namespace)).unwrap();
        let authorization = Fixture::authorization(root);
        app.secrets.undelete(&authorization, &grant, id, None, None).await.map(drop)
    }

    /// Removes what is deleted for long enough.
    async fn purge(&self) {
        let core = &self.fixture.app.core;
        for due in core.catalog.due_secrets(self.clock.now(), usize::MAX, |_| false) {
            self.fixture.app.secrets.attend(due.namespace.id(), due.id, &Names::default()).await.unwrap();
        }
    }

    /// What is used of each quota by a count of the records in the store.
    async fn count_from_scratch(&self) -> Vec<Amount> {
        let mut of: HashMap<_, Amount> = HashMap::new();
        let mut pages = Pages::new(&*self.fixture.store, Key::all(), 100);
        while let Some(page) = pages.next().await.unwrap() {
            for (key, entry) in page {
                match key.kind() {
                    Kind::Secret(namespace, _) => of.entry(namespace).or_default().secrets += 1,
                    Kind::Version(namespace, ..) => {
                        of.entry(namespace).or_default().bytes += entry.value.len() as u64 - SEALED;
                    }
                    _ => {}
                }
            }
        }
        let mut used = vec![Amount::default(); self.quotas.len()];
        for (id, amount) in of {
            let namespace = self.fixture.app.core.catalog.namespace_of(id).unwrap();
            let name = namespace.keys().namespace().clone();
            for (quota, used) in self.quotas.iter().zip(&mut used) {
                if quota.namespace.as_ref().is_none_or(|top| name.is_within(top)) {
                    used.add(amount);
                }
            }
        }
        limited(&self.quotas, used)
    }

    /// Asserts that the running totals are those of a count from scratch.
    async fn check(&self, app: &App, when: &str) {
        assert_eq!(totals(app), self.count_from_scratch().await, "{when}");
    }
}

fn with(quotas: &Arc<[Quota]>, clock: &Clock) -> Options {
    Options { quotas: quotas.clone(), clock: clock.clone(), deletion_retention: WEEK, ..options() }
}

/// The running totals.
fn totals(app: &App) -> Vec<Amount> {
    let usage = app.core.catalog.quota_usage();
    let quotas: Vec<_> = usage.iter().map(|usage| usage.quota.clone()).collect();
    limited(&quotas, usage.into_iter().map(|usage| usage.used).collect())
}

/// What is used, with bytes only where they are limited.
fn limited(quotas: &[Quota], used: Vec<Amount>) -> Vec<Amount> {
    let pairs = quotas.iter().zip(used);
    pairs.map(|(quota, used)| Amount { bytes: quota.bytes.map_or(0, |_| used.bytes), ..used }).collect()
}

/// Numbers that look like random ones, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn value(&mut self) -> Vec<u8> {
        vec![7; self.below(300)]
    }
}

/// Does one thing of those that can be done with a secret. It may be refused: the secret may not be there.
async fn change(site: &Site, numbers: &mut Numbers, deleted: &mut Vec<(&'static str, SecretId)>) {
    let name = ["s0", "s1", "s2", "s3", "s4"][numbers.below(5)];
    let at = (NAMESPACES[numbers.below(4)], name);
    let number = 1 + u32::try_from(numbers.below(4)).unwrap();
    let value = numbers.value();
    let done = match numbers.below(12) {
        0..3 => site.create(at, value).await.map(drop),
        3 | 4 => site.rotate(at, value, false).await,
        5 => site.rotate(at, value, true).await,
        6 => {
            let value = Some(Value::binary(value).unwrap());
            site.update(at, SecretUpdate { value, ..SecretUpdate::default() }).await
        }
        7 => {
            let new_name = Some(site.grant::<Write>((at.0, "renamed")));
            site.update(at, SecretUpdate { new_name, ..SecretUpdate::default() }).await
        }
        8 => site.promote(at, number).await,
        9 => site.destroy(at, number).await,
        10 => site.delete(at).await.map(|id| deleted.push((at.0, id))),
        _ => match deleted.pop() {
            Some((namespace, id)) => site.undelete(namespace, id).await,
            None => Ok(()),
        },
    };
    if let Err(error) = done {
        assert!(error.can_follow_from_a_change(), "{error}");
    }
}

async fn count_through_random_changes(store: Arc<dyn Store>, changes: usize) {
    let site = Site::over(store, wide()).await;
    let (mut numbers, mut deleted) = (Numbers(1), Vec::new());
    for turn in 0..6 {
        for _ in 0..changes {
            change(&site, &mut numbers, &mut deleted).await;
        }
        site.check(&site.fixture.app, "after changes").await;
        if turn % 2 == 1 {
            site.clock.advance(WEEK);
            site.purge().await;
            deleted.clear();
            site.check(&site.fixture.app, "after a purge").await;
        }
        let again = site.restart(&site.quotas).await;
        site.check(&again, "after a start").await;
    }
    assert!(totals(&site.fixture.app).iter().all(|used| used.secrets > 0));
    // The rekey of a namespace seals the secrets and wraps the keys of versions again.
    let before = totals(&site.fixture.app);
    for name in NAMESPACES {
        site.fixture.rekey().rekey_namespace(&namespace(name), |_| {}).await.unwrap();
    }
    assert_eq!(totals(&site.fixture.app), before);

    // A restore replaces everything.
    let (backup, _) = site.fixture.back_up().await;
    for _ in 0..changes {
        change(&site, &mut numbers, &mut deleted).await;
    }
    let restore = site.fixture.app.backup.restore(&site.fixture.service_grant::<Operate>()).unwrap();
    assert!(restore.take(backup).await);
    restore.finish(RestoreOptions::default(), |_| {}).await.unwrap();
    assert_eq!(totals(&site.fixture.app), before);
    site.check(&site.fixture.app, "after a restore").await;
}

#[tokio::test]
async fn the_totals_are_those_of_a_count_from_scratch_in_memory() {
    count_through_random_changes(store::open_memory().unwrap(), 300).await;
}

#[tokio::test]
async fn the_totals_are_those_of_a_count_from_scratch_over_sled() {
    let folder = tempfile::tempdir().unwrap();
    count_through_random_changes(store::open_sled(folder.path()).unwrap(), 60).await;
}

#[cfg(feature = "etcd")]
#[tokio::test]
async fn the_totals_are_those_of_a_count_from_scratch_over_etcd() {
    let Some(etcd) = store::etcd_fixture::shared() else { return };
    let store = store::open_etcd(&store::etcd_fixture::fresh(etcd)).await.unwrap();
    count_through_random_changes(store, 60).await;
}

#[tokio::test]
async fn what_was_stored_without_quotas_is_counted_at_the_next_start() {
    let site = Site::over(store::open_memory().unwrap(), [].into()).await;
    let mut numbers = Numbers(2);
    // More secrets and versions than a scan reads at a time, in namespaces that count and in those that do not.
    for number in 0..1200 {
        let name = format!("s{number}");
        let at = (NAMESPACES[numbers.below(4)], name.as_str());
        site.create(at, numbers.value()).await.unwrap();
        if number % 3 == 0 {
            site.rotate(at, numbers.value(), false).await.unwrap();
        }
    }
    let all: [Arc<[Quota]>; 3] = [
        wide(),
        [quota("a/b", None, Some(1))].into(),
        [quota("d", Some(1), None), quota("a", None, Some(1))].into(),
    ];
    for quotas in all {
        let site = Site {
            quotas: quotas.clone(),
            fixture: site.fixture.beside(site.fixture.store.clone()).await,
            clock: site.clock.clone(),
        };
        let app = site.restart(&quotas).await;
        site.check(&app, "after a start").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_while_others_write_counts_everything_once() {
    let site = Arc::new(Site::over(store::open_memory().unwrap(), wide()).await);
    for number in 0..400 {
        site.create(("a/b", &format!("before{number}")), vec![7; number]).await.unwrap();
    }
    for round in 0..5 {
        let writing = site.clone();
        let writer = tokio::spawn(async move {
            for number in 0..60 {
                let name = format!("round{round}_{number}");
                writing.create(("a", &name), vec![7; 10]).await.unwrap();
                writing.rotate(("a/b", &format!("before{number}")), vec![7; 20], false).await.unwrap();
                writing.destroy(("a/b", &format!("before{number}")), 1 + round).await.unwrap();
            }
        });
        let app = site.restart(&site.quotas).await;
        writer.await.unwrap();
        app.core.catalog.at_least(site.fixture.app.revision()).await.unwrap();
        site.check(&app, "a start beside a writer").await;
    }
    site.check(&site.fixture.app, "the writer").await;
}

/// What a refusal says that a quota has no room for.
#[track_caller]
fn reached<T>(result: Result<T, Error>) -> QuotaReached {
    match result.err().unwrap() {
        Error::QuotaReached(reached) => reached,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_refused_change_keeps_nothing_reserved_and_what_shrinks_is_never_refused() {
    let site = Site::over(store::open_memory().unwrap(), [quota("a", Some(2), Some(100))].into()).await;
    let one = ("a", "one");
    site.create(one, vec![7; 60]).await.unwrap();
    for _ in 0..200 {
        let refused = reached(site.create(("a/b", "other"), vec![7; 41]).await);
        assert_eq!(refused, QuotaReached { namespace: Some(namespace("a")), limit: QuotaLimit::Bytes(100) });
        reached(site.rotate(one, vec![7; 41], false).await);
        reached(site.rotate(one, vec![7; 41], true).await);
        // A change that is refused for another reason, or has nothing to do.
        assert!(matches!(site.create(one, vec![7; 1]).await, Err(Error::SecretAlreadyExists(..))));
        assert!(site.promote(one, 1).await.is_ok());
    }
    site.rotate(one, vec![7; 40], true).await.unwrap();
    site.create(("a/b", "empty"), Vec::new()).await.unwrap();
    assert_eq!(reached(site.create(("a", "third"), Vec::new()).await).limit, QuotaLimit::Secrets(2));
    // All is used, and everything that takes no more goes on.
    site.promote(one, 2).await.unwrap();
    site.rotate(one, Vec::new(), false).await.unwrap();
    let description = Some(Description::parse("what for").unwrap());
    site.update(one, SecretUpdate { description, ..SecretUpdate::default() }).await.unwrap();
    let id = site.delete(one).await.unwrap();
    reached(site.create(one, vec![7; 1]).await);
    site.undelete("a", id).await.unwrap();
    site.destroy(one, 1).await.unwrap();
    site.rotate(one, vec![7; 60], false).await.unwrap();
    site.check(&site.fixture.app, "at the end").await;
}

#[tokio::test]
async fn what_a_damage_has_made_unreadable_does_not_count() {
    let site = Site::over(store::open_memory().unwrap(), wide()).await;
    for name in ["one", "two", "three"] {
        site.create(("a", name), vec![7; 10]).await.unwrap();
    }
    let store = |app: &App| totals(app)[0];
    let (key, _) = site.fixture.stored(b's').await.remove(0);
    site.fixture.overwrite(&key, b"damaged".to_vec()).await;
    assert_eq!(store(&site.fixture.app), Amount { secrets: 2, bytes: 20 });
    let (key, _) = site.fixture.stored(b'n').await.remove(0);
    site.fixture.overwrite(&key, b"damaged".to_vec()).await;
    assert_eq!(store(&site.fixture.app), Amount::default());
}

#[tokio::test]
async fn a_purge_frees_what_a_deleted_secret_took() {
    let site = Site::over(store::open_memory().unwrap(), [quota("", Some(1), None)].into()).await;
    site.create(("a", "one"), Vec::new()).await.unwrap();
    site.delete(("a", "one")).await.unwrap();
    let refused = reached(site.create(("a", "two"), Vec::new()).await);
    assert_eq!(refused, QuotaReached { namespace: None, limit: QuotaLimit::Secrets(1) });
    site.clock.advance(WEEK);
    site.purge().await;
    site.create(("a", "two"), Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_new_version_in_the_place_of_an_old_one_takes_only_what_it_has_more() {
    let site = Site::over(store::open_memory().unwrap(), [quota("a", None, Some(1000))].into()).await;
    let one = ("a", "one");
    site.create(one, vec![7; 10]).await.unwrap();
    for _ in 1..100 {
        site.rotate(one, vec![7; 10], false).await.unwrap();
    }
    assert_eq!(totals(&site.fixture.app)[0].bytes, 1000);
    // The oldest version is removed in the same change.
    site.rotate(one, vec![7; 10], false).await.unwrap();
    reached(site.rotate(one, vec![7; 11], false).await);
    site.rotate(one, vec![7; 5], false).await.unwrap();
    site.check(&site.fixture.app, "after many rotations").await;
}

#[tokio::test]
async fn a_store_that_is_over_a_lowered_quota_reads_and_shrinks() {
    let site = Site::over(store::open_memory().unwrap(), [].into()).await;
    for name in ["one", "two", "three"] {
        site.create(("a", name), vec![7; 10]).await.unwrap();
    }
    let quotas: Arc<[Quota]> = [quota("a", Some(1), Some(5))].into();
    let app = Arc::new(site.restart(&quotas).await);
    let root = app.access.authenticate(&site.fixture.root_key).unwrap();
    let (store, master) = (site.fixture.store.clone(), site.fixture.master.clone());
    let fixture = Fixture { app, store, master, root, root_key: site.fixture.root_key.clone() };
    let site = Site { fixture, quotas, clock: site.clock };
    assert_eq!(totals(&site.fixture.app), [Amount { secrets: 3, bytes: 30 }]);
    reached(site.create(("a", "four"), Vec::new()).await);
    reached(site.rotate(("a", "one"), vec![7; 1], false).await);
    site.rotate(("a", "one"), Vec::new(), false).await.unwrap();
    site.destroy(("a", "one"), 1).await.unwrap();
    let id = site.delete(("a", "two")).await.unwrap();
    site.undelete("a", id).await.unwrap();
    assert_eq!(totals(&site.fixture.app), [Amount { secrets: 3, bytes: 20 }]);
    assert_eq!(site.fixture.app.core.catalog.largest_quota_use(), [Some(3.0), Some(4.0)]);
}
