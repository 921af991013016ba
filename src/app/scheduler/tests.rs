//! What the service does by itself, under a clock that the tests move by hours and days.

use std::sync::Mutex;

use super::*;
use crate::app::fixture::{Fixture, options, reopen_with};
use crate::app::{
    NewSecret, Options, SecretExpiry, SecretRotation, SecretUpdate, ValueSource, VersionChange,
};
use crate::audit::{Names, Record, Unwritable};
use crate::auth::{Delete, Grant, Rotate, Write};
use crate::crypto::{MasterKeys, open_event};
use crate::domain::{
    Clock, DailyWindow, Deletion, Description, EventType, ExpiryTold, Generator, Metadata, Namespace,
    Rotation, RotationPolicy, Secret, SecretName, Timestamp, Value, Version, VersionState, Versions,
};
use crate::limits::Quota;
use crate::store::{self, Store};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Collects the RPCs of the records.
#[derive(Default)]
struct Recorder {
    rpcs: Mutex<Vec<&'static str>>,
    fails: std::sync::atomic::AtomicBool,
}

#[async_trait::async_trait]
impl Auditor for Recorder {
    async fn write(&self, record: &Record) -> Result<(), Unwritable> {
        assert_eq!((record.principal.as_deref(), record.outcome), (Some("service"), "ok"));
        self.rpcs.lock().unwrap().push(record.rpc);
        Ok(())
    }

    fn refused(&self, _: Record, _: u64) {
        panic!("nothing is refused");
    }

    fn names(&self) -> &Names {
        &Names::Plain
    }

    async fn check(&self) -> Result<(), Unwritable> {
        if self.fails.load(std::sync::atomic::Ordering::Relaxed) { Err(Unwritable) } else { Ok(()) }
    }
}

/// A service with a clock that the test moves, and its scheduler.
struct Site {
    fixture: Fixture,
    clock: Clock,
    recorder: Arc<Recorder>,
    scheduler: Scheduler,
}

impl Site {
    async fn open() -> Self {
        Self::over(store::open_memory().unwrap(), WEEK).await
    }

    async fn over(store: Arc<dyn Store>, deletion_retention: Duration) -> Self {
        Self::with(store, Options { deletion_retention, ..options() }).await
    }

    async fn with(store: Arc<dyn Store>, options: Options) -> Self {
        let clock = Clock::default();
        let options = Options { clock: clock.clone(), ..options };
        let master = Arc::new(MasterKeys::generate().unwrap());
        let fixture = Fixture::with_options(store, master, options).await;
        let recorder = Arc::new(Recorder::default());
        let scheduler = Scheduler::new(fixture.app.clone(), recorder.clone());
        Self { fixture, clock, recorder, scheduler }
    }

    /// A replica over the same store, with the same clock.
    async fn replica(&self) -> Scheduler {
        let options = Options { deletion_retention: WEEK, clock: self.clock.clone(), ..options() };
        let app = reopen_with(&self.fixture.store, &self.fixture.master, options).await.unwrap();
        Scheduler::new(Arc::new(app), self.recorder.clone())
    }

    async fn create(&self, name: &str, ttl: Duration) -> Secret {
        self.create_in("default", name, ttl).await
    }

    async fn create_in(&self, namespace: &str, name: &str, ttl: Duration) -> Secret {
        let new = NewSecret {
            source: ValueSource::Value(Value::text("one".to_owned()).unwrap()),
            description: Description::default(),
            metadata: Metadata::default(),
            expiry: Some(SecretExpiry::After(ttl)),
            rotation_policy: None,
        };
        let (namespace, name) = (Namespace::parse(namespace).unwrap(), SecretName::parse(name).unwrap());
        let grant = self.fixture.app.access.grant::<Write>(&self.fixture.root, &namespace, &name).unwrap();
        self.fixture.app.secrets.create(&grant, new, None).await.unwrap().secret
    }

    async fn expires_at(&self, name: &str, at: Option<Timestamp>) -> Result<Secret, Error> {
        let update = SecretUpdate { expires_at: Some(at), ..SecretUpdate::default() };
        let grant = self.fixture.grant::<Write>(name);
        Ok(self.fixture.app.secrets.update(&grant, update, None).await?.secret)
    }

    async fn delete(&self, name: &str) -> (SecretId, Deletion) {
        let grant = self.fixture.grant::<Delete>(name);
        let deleted = self.fixture.app.secrets.delete(&grant, None, None).await.unwrap();
        (deleted.id, deleted.deletion)
    }

    async fn undelete(&self, id: SecretId, new_name: Option<&str>) -> Result<Secret, Error> {
        let (app, root) = (&self.fixture.app, &self.fixture.root);
        let grant = app.access.grant_namespace::<Delete>(root, root.home()).unwrap();
        let new_name: Option<Grant<Delete>> = new_name.map(|name| self.fixture.grant(name));
        let authorization = Fixture::authorization(root);
        app.secrets.undelete(&authorization, &grant, id, new_name.as_ref(), None).await
    }

    async fn rotating(&self, name: &str, policy: RotationPolicy) -> Secret {
        let secret = self.fixture.create(name, "one").await.unwrap();
        self.fixture.app.secrets.set_rotation(&secret, Rotation::new(policy, self.clock.now())).await;
        secret
    }

    async fn run(&mut self) {
        assert!(self.scheduler.do_what_is_due().await.is_ok());
    }

    async fn run_after(&mut self, time: Duration) {
        self.clock.advance(time);
        self.run().await;
    }

    fn value(&self, name: &str) -> impl Future<Output = Result<String, Error>> {
        self.fixture.value(&self.fixture.app, name)
    }

    /// All events, oldest first.
    async fn events(&self) -> Vec<EventType> {
        let keyring = self.fixture.app.core.keyring();
        let home = Namespace::default_namespace();
        let stored = self.fixture.stored(b'f').await;
        let kind = |entry: &store::Entry| {
            open_event(&keyring, &entry.value).unwrap().event(&home, entry.revision).unwrap().kind
        };
        stored.iter().map(|(_, entry)| kind(entry)).collect()
    }

    fn rpcs(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.recorder.rpcs.lock().unwrap())
    }
}

fn policy(generator: Option<Generator>) -> RotationPolicy {
    RotationPolicy {
        interval: Some(DAY),
        generator,
        grace_period: Some(HOUR),
        window: None,
        paused: false,
        retire_when_unread: false,
    }
}

#[tokio::test]
async fn a_deleted_secret_comes_back_until_its_time_is_over_and_leaves_nothing_then() {
    let mut site = Site::open().await;
    let first = site.fixture.create("a", "one").await.unwrap();
    site.fixture.rotate("a", "two").await;
    let before = site.fixture.secret("a");
    let (id, deletion) = site.delete("a").await;
    assert_eq!((id, deletion.purge_at), (first.id, deletion.deleted_at.plus(WEEK)));
    assert!(matches!(site.value("a").await, Err(Error::SecretNotFound(..))));
    let counts = site.fixture.app.core.catalog.counts();
    assert_eq!((counts.secrets, counts.deleted_secrets, counts.damaged), (0, 1, 0));
    let records = site.fixture.app.core.catalog.records();

    // A second secret of the same name can be deleted too.
    site.fixture.create("a", "another").await.unwrap();
    assert!(matches!(site.undelete(id, None).await, Err(Error::SecretAlreadyExists(..))));
    let (second, _) = site.delete("a").await;
    site.run_after(WEEK - HOUR).await;
    let back = site.undelete(id, None).await.unwrap();
    assert_eq!((back.id, back.created_at, back.version, back.deletion), (id, before.created_at, 2, None));
    assert!(back.updated_at > deletion.deleted_at);
    assert_eq!(site.value("a").await.unwrap(), "two");
    assert_eq!(site.fixture.value_of(&site.fixture.app, "a", Some(1)).await.unwrap(), "one");
    assert!(matches!(site.undelete(id, None).await, Err(Error::DeletedSecretNotFound(..))));
    site.undelete(second, Some("b")).await.unwrap();
    assert_eq!(site.value("b").await.unwrap(), "another");

    // Once its time is over, it does not come back, also where it is not removed yet.
    site.delete("a").await;
    site.clock.advance(WEEK + HOUR);
    assert!(matches!(site.undelete(id, None).await, Err(Error::DeletedSecretNotFound(..))));
    assert_eq!(site.rpcs().len(), 0);
    site.run().await;
    assert_eq!(site.rpcs(), ["scheduler/PurgeSecret"]);
    site.delete("b").await;
    site.run_after(WEEK).await;
    for kind in [b's', b'i', b'v', b'c'] {
        assert_eq!(site.fixture.stored(kind).await.len(), 0, "{}", char::from(kind));
    }
    assert!(records > site.fixture.app.core.catalog.records());
    assert_eq!(site.fixture.app.core.catalog.counts().deleted_secrets, 0);
    let purged = site.events().await.into_iter().filter(|event| *event == EventType::Purged).count();
    assert_eq!(purged, 2);
}

#[tokio::test]
async fn a_deleted_secret_stays_through_restarts_and_damage_of_its_record_is_told() {
    let mut site = Site::open().await;
    site.fixture.create("a", "one").await.unwrap();
    let (id, _) = site.delete("a").await;
    let again = site.replica().await;
    let counts = again.app.core.catalog.counts();
    assert_eq!((counts.secrets, counts.deleted_secrets, counts.damaged), (0, 1, 0));
    // The name of the deleted secret is put back behind the service's back.
    site.fixture.create("a", "another").await.unwrap();
    let (key, entry) = site.fixture.stored(b'i').await.remove(0);
    site.delete("a").await;
    site.fixture.overwrite(&key, entry.value).await;
    assert!(matches!(site.undelete(id, None).await, Err(Error::Integrity)));
    assert!(matches!(site.fixture.create("a", "b").await, Err(Error::Integrity)));
    site.undelete(id, Some("b")).await.unwrap();
    assert_eq!(site.value("b").await.unwrap(), "one");
    site.run_after(WEEK * 2).await;
    assert_eq!(site.value("b").await.unwrap(), "one");
}

#[tokio::test]
async fn an_expiry_is_told_twice_and_a_later_one_brings_the_values_back() {
    let mut site = Site::open().await;
    let secret = site.create("a", 3 * DAY).await;
    let expires_at = secret.created_at.plus(3 * DAY);
    assert_eq!(secret.expires_at, Some(expires_at));
    site.run_after(2 * DAY - HOUR).await;
    assert_eq!(site.events().await, [EventType::Created]);
    site.run_after(HOUR).await;
    site.run_after(HOUR).await;
    assert_eq!(site.value("a").await.unwrap(), "one");
    // The values are gone at that time, and not when the scheduler sees it.
    site.clock.advance(DAY);
    assert!(matches!(site.value("a").await, Err(Error::SecretExpired(..))));
    assert!(matches!(
        site.fixture.value_of(&site.fixture.app, "a", Some(1)).await,
        Err(Error::SecretExpired(..))
    ));
    let source = ValueSource::Value(Value::text("two".to_owned()).unwrap());
    let (stage, grace_period, claim, etag) = (false, None, None, None);
    let rotation = SecretRotation { source: Some(source), stage, grace_period, claim, etag };
    let grant = site.fixture.grant::<Rotate>("a");
    let rotated = site.fixture.app.secrets.rotate(&grant, rotation, None).await;
    assert!(matches!(rotated.err(), Some(Error::SecretExpired(..))));
    site.run().await;
    site.run().await;
    assert_eq!(site.events().await, [EventType::Created, EventType::Expiring, EventType::Expired]);
    assert_eq!(site.rpcs(), ["scheduler/TellExpiry"; 2]);
    // To tell is no change of the secret.
    let told = site.fixture.secret("a");
    assert_eq!((told.etag(), told.updated_at), (secret.etag(), secret.updated_at));
    let purge_at = site.fixture.app.secrets.purge_at(&told);
    assert_eq!(purge_at, Some(expires_at.plus(WEEK)));

    assert!(matches!(site.expires_at("a", Some(expires_at)).await, Err(Error::Invalid(_))));
    let later = site.clock.now().plus(10 * DAY);
    site.expires_at("a", Some(later)).await.unwrap();
    assert_eq!(site.value("a").await.unwrap(), "one");
    site.run_after(8 * DAY).await;
    assert_eq!(site.value("a").await.unwrap(), "one", "it is not removed at the time of the former expiry");
    site.run_after(3 * DAY).await;
    let never = site.expires_at("a", None).await.unwrap();
    assert_eq!(never.expires_at, None);
    site.run_after(30 * DAY).await;
    assert_eq!(site.value("a").await.unwrap(), "one");

    site.expires_at("a", Some(site.clock.now().plus(HOUR))).await.unwrap();
    site.run_after(HOUR + WEEK).await;
    assert!(matches!(site.value("a").await, Err(Error::SecretNotFound(..))));
    let ends = [EventType::Updated, EventType::Expired, EventType::Purged];
    assert!(site.events().await.ends_with(&ends), "{:?}", site.events().await);
}

#[tokio::test]
async fn a_secret_that_expires_while_it_is_deleted_comes_back_expired() {
    let mut site = Site::open().await;
    site.create("a", DAY).await;
    let (id, _) = site.delete("a").await;
    site.run_after(2 * DAY).await;
    assert!(!site.events().await.contains(&EventType::Expired));
    site.undelete(id, None).await.unwrap();
    assert!(matches!(site.value("a").await, Err(Error::SecretExpired(..))));
    site.run().await;
    assert!(site.events().await.ends_with(&[EventType::Undeleted, EventType::Expired]));
    site.run_after(WEEK).await;
    assert_eq!(site.fixture.stored(b's').await.len(), 0);
}

#[tokio::test]
async fn an_expired_secret_that_comes_back_late_can_still_be_given_another_expiry() {
    let mut site = Site::open().await;
    site.create("a", DAY).await;
    site.run_after(6 * DAY).await;
    let (id, _) = site.delete("a").await;
    // By its first expiry alone, it would be removed for good now.
    site.run_after(3 * DAY).await;
    let back = site.undelete(id, None).await.unwrap();
    assert!(back.expires_at.unwrap().plus(HOUR) > site.clock.now());
    site.run_after(6 * DAY).await;
    assert!(matches!(site.value("a").await, Err(Error::SecretExpired(..))));
    site.expires_at("a", None).await.unwrap();
    assert_eq!(site.value("a").await.unwrap(), "one");
}

#[tokio::test]
async fn without_retention_a_deletion_is_for_good_and_an_expired_secret_goes_at_once() {
    let mut site = Site::over(store::open_memory().unwrap(), Duration::ZERO).await;
    site.fixture.create("a", "one").await.unwrap();
    let (id, deletion) = site.delete("a").await;
    assert_eq!(deletion.purge_at, deletion.deleted_at);
    assert!(matches!(site.undelete(id, None).await, Err(Error::DeletedSecretNotFound(..))));
    site.create("b", HOUR).await;
    site.run_after(HOUR).await;
    assert_eq!(site.fixture.stored(b's').await.len(), 0);
    let events = site.events().await;
    use EventType::{Created, Deleted, Expired, Purged};
    assert_eq!(events, [Created, Deleted, Created, Expired, Purged]);
}

#[tokio::test]
async fn a_rotation_with_a_generator_is_made_once_for_each_time_also_by_replicas() {
    let mut site = Site::open().await;
    site.rotating("a", policy(Some(Generator::Uuid))).await;
    let mut replica = site.replica().await;
    site.run().await;
    for version in 2..5 {
        site.clock.advance(DAY);
        let (one, other) = tokio::join!(site.scheduler.do_what_is_due(), replica.do_what_is_due());
        assert!(one.is_ok() && other.is_ok());
        site.run().await;
        let secret = site.fixture.secret("a");
        assert_eq!(secret.version, version);
        let next_at = secret.rotation.as_ref().unwrap().next_at.unwrap();
        assert!(next_at > site.clock.now().plus(DAY - HOUR));
        assert_eq!(site.value("a").await.unwrap().len(), 36, "a UUID");
    }
    let rotated = site.rpcs().into_iter().filter(|rpc| *rpc == "scheduler/RotateSecret").count();
    assert_eq!(rotated, 3);

    // The version before stays readable for an hour, and not for as long as the scheduler takes.
    let read = |number| site.fixture.value_of(&site.fixture.app, "a", Some(number));
    assert!(read(3).await.is_ok());
    site.clock.advance(HOUR);
    assert!(matches!(read(3).await, Err(Error::VersionDisabled(..))));
    assert_eq!(site.fixture.secret("a").versions.find(3).unwrap().state, VersionState::Enabled);
    let before = site.fixture.secret("a").etag();
    assert!(site.scheduler.do_what_is_due().await.is_ok());
    let secret = site.fixture.secret("a");
    let retired = secret.versions.find(3).unwrap();
    assert_eq!((retired.state, retired.retires_at), (VersionState::Disabled, None));
    assert_ne!(secret.etag(), before);
    assert_eq!(site.events().await.last(), Some(&EventType::VersionChanged));
}

#[tokio::test]
async fn a_rotation_waits_for_its_window_and_for_the_end_of_a_pause_and_of_an_expiry() {
    let mut site = Site::open().await;
    // A window that opens two to three hours after the rotation is due.
    let minute = i64::rem_euclid(site.clock.now().as_micros() / 60_000_000, 24 * 60);
    let in_hours = |hours: i64| u16::try_from((minute + hours * 60) % (24 * 60)).unwrap();
    let window = DailyWindow::of_minutes(in_hours(2), in_hours(3));
    let policy = policy(Some(Generator::Uuid));
    site.rotating("windowed", RotationPolicy { window, ..policy.clone() }).await;
    site.rotating("paused", RotationPolicy { paused: true, ..policy.clone() }).await;
    let expired = site.create("expired", HOUR).await;
    site.fixture.app.secrets.set_rotation(&expired, Rotation::new(policy, site.clock.now())).await;
    let version = |site: &Site, name: &str| site.fixture.secret(name).version;
    site.run_after(DAY + HOUR).await;
    assert_eq!((version(&site, "windowed"), version(&site, "paused"), version(&site, "expired")), (1, 1, 1));
    // The server was down while the window was open.
    site.run_after(4 * HOUR).await;
    assert_eq!((version(&site, "windowed"), site.rpcs().contains(&"scheduler/PostponeRotation")), (1, true));
    site.run_after(DAY - 3 * HOUR + HOUR / 2).await;
    assert_eq!((version(&site, "windowed"), version(&site, "paused"), version(&site, "expired")), (2, 1, 1));
}

#[tokio::test]
async fn a_rotation_for_workers_is_told_once() {
    let mut site = Site::open().await;
    let secret = site.rotating("a", policy(None)).await;
    site.run_after(DAY).await;
    site.run_after(DAY).await;
    let told = site.events().await.into_iter().filter(|event| *event == EventType::RotationDue).count();
    assert_eq!((told, site.rpcs()), (1, vec!["scheduler/TellRotation"]));
    assert_eq!(site.fixture.secret("a").version, secret.version);
}

#[tokio::test]
async fn a_rotation_that_fails_is_told_and_tried_again_later() {
    let mut site = Site::open().await;
    let secret = site.rotating("a", policy(Some(Generator::Uuid))).await;
    let last = Version::new(u32::MAX, site.clock.now(), secret.versions.find(1).unwrap().seal);
    let revise = |next: &mut Secret| {
        next.version = last.number;
        next.versions = Versions::first(last);
    };
    site.fixture.app.secrets.revise(&secret, revise).await;
    site.run_after(DAY).await;
    let failure = |site: &Site| site.fixture.secret("a").rotation.as_ref().unwrap().failure.clone().unwrap();
    let first = failure(&site);
    assert_eq!((first.attempts, first.retry_at), (1, first.failed_at.plus(Duration::from_secs(60))));
    site.run_after(Duration::from_secs(59)).await;
    assert_eq!(failure(&site).attempts, 1);
    site.run_after(Duration::from_secs(1)).await;
    let second = failure(&site);
    assert_eq!((second.attempts, second.retry_at), (2, second.failed_at.plus(Duration::from_secs(120))));
    assert_eq!(site.events().await.last(), Some(&EventType::RotationFailed));
    assert!(second.error.contains("no version numbers left"), "{}", second.error);
    assert_eq!(site.fixture.secret("a").version, u32::MAX);
}

#[tokio::test]
async fn a_rotation_for_which_a_quota_has_no_room_fails_and_is_made_once_there_is_room() {
    // The first value has 3 bytes, and a UUID 36.
    let quota = Quota { namespace: None, secrets: None, bytes: Some(3 + 2 * 36) };
    let options = Options { deletion_retention: WEEK, quotas: [quota].into(), ..options() };
    let mut site = Site::with(store::open_memory().unwrap(), options).await;
    site.rotating("a", policy(Some(Generator::Uuid))).await;
    for _ in 0..3 {
        site.run_after(DAY).await;
    }
    let secret = site.fixture.secret("a");
    let failure = secret.rotation.as_ref().unwrap().failure.clone().unwrap();
    assert_eq!((secret.version, failure.attempts), (3, 1));
    assert!(
        failure.error.contains("quota") && failure.error.contains("destroy versions"),
        "{}",
        failure.error
    );
    assert_eq!(site.events().await.last(), Some(&EventType::RotationFailed));
    site.run_after(Duration::from_secs(60)).await;
    let failed = site.rpcs().into_iter().filter(|rpc| *rpc == "scheduler/FailRotation").count();
    assert_eq!(failed, 2);

    let change = VersionChange { number: 2, etag: None };
    let grant = site.fixture.grant::<Delete>("a");
    site.fixture.app.secrets.destroy_version(&grant, &change, None).await.unwrap();
    site.run_after(Duration::from_secs(120)).await;
    let secret = site.fixture.secret("a");
    assert_eq!((secret.version, secret.rotation.as_ref().unwrap().failure.is_none()), (4, true));
}

#[tokio::test]
async fn many_things_that_are_due_at_once_are_all_done_once() {
    let mut site = Site::open().await;
    for number in 0..200 {
        site.create(&format!("s{number}"), HOUR).await;
    }
    let mut replica = site.replica().await;
    site.clock.advance(HOUR);
    let (one, other) = tokio::join!(site.scheduler.do_what_is_due(), replica.do_what_is_due());
    assert!(one.is_ok() && other.is_ok());
    site.run().await;
    let expired = site.events().await.into_iter().filter(|event| *event == EventType::Expired).count();
    assert_eq!((expired, site.rpcs().len()), (200, 200));
}

#[tokio::test]
async fn a_namespace_where_very_much_is_due_lets_another_one_have_its_turn() {
    let mut site = Site::open().await;
    for number in 0..3 * BATCH {
        site.create(&format!("s{number}"), HOUR).await;
    }
    site.create_in("team", "a", 2 * HOUR).await;
    site.clock.advance(2 * HOUR);
    assert!(matches!(site.scheduler.do_batch().await, Ok(true)));
    let team = site.fixture.app.core.catalog.namespace(&Namespace::parse("team").unwrap()).unwrap();
    let told = team.secret(&SecretName::parse("a").unwrap()).unwrap().expiry_told;
    assert_eq!((told, site.rpcs().len()), (ExpiryTold::Expired, BATCH));
}

#[tokio::test]
async fn nothing_is_done_while_the_audit_log_cannot_be_written() {
    let mut site = Site::open().await;
    site.create("a", HOUR).await;
    site.recorder.fails.store(true, std::sync::atomic::Ordering::Relaxed);
    site.clock.advance(HOUR);
    assert!(site.scheduler.do_what_is_due().await.is_err());
    assert_eq!(site.events().await, [EventType::Created]);
    site.recorder.fails.store(false, std::sync::atomic::Ordering::Relaxed);
    site.run().await;
    assert_eq!(site.events().await, [EventType::Created, EventType::Expired]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_delays_what_is_due_and_what_was_lost_is_done_again() {
    let (store, faults) = store::fault::open_faulty_memory();
    let mut site = Site::over(store, WEEK).await;
    site.create("a", HOUR).await;
    site.clock.advance(HOUR);
    faults.refuse_writes();
    assert!(site.scheduler.do_what_is_due().await.is_err());
    faults.end();
    while site.fixture.app.check().await.is_err() {
        tokio::task::yield_now().await;
    }
    // A write whose sync fails is gone when the store is opened again.
    faults.fail_sync_after(0);
    assert!(site.scheduler.do_what_is_due().await.is_err());
    faults.fail_sync_after(usize::MAX);
    while site.fixture.app.check().await.is_err() {
        tokio::task::yield_now().await;
    }
    site.run().await;
    assert_eq!(site.events().await, [EventType::Created, EventType::Expired]);
}

#[tokio::test]
async fn a_secret_about_which_nothing_can_be_done_does_not_hold_up_the_others() {
    let mut site = Site::open().await;
    let first = site.fixture.create("a", "one").await.unwrap();
    site.delete("a").await;
    site.fixture.create("b", "one").await.unwrap();
    site.delete("b").await;
    // The record is altered behind the service's back.
    let of_first =
        |key: &store::Key| matches!(key.kind(), crate::schema::Kind::Secret(_, id) if id == first.id);
    let stored = site.fixture.stored(b's').await;
    let (key, entry) = stored.into_iter().find(|(key, _)| of_first(key)).unwrap();
    let mut altered = entry.value;
    *altered.last_mut().unwrap() ^= 1;
    site.fixture.overwrite(&key, altered).await;
    site.run_after(WEEK).await;
    let left = site.fixture.stored(b's').await;
    assert!(left.len() == 1 && of_first(&left[0].0), "a record that does not open is left as it is");
    assert_eq!(site.fixture.app.core.catalog.counts().damaged, 1);
}

#[tokio::test(start_paused = true)]
async fn the_scheduler_wakes_for_what_becomes_due_earlier() {
    let site = Site::open().await;
    let (app, recorder) = (site.fixture.app.clone(), site.recorder.clone());
    let running = tokio::spawn(Scheduler::new(app, recorder).run());
    site.create("a", DAY + HOUR).await;
    site.create("b", Duration::from_secs(1)).await;
    while !site.rpcs().contains(&"scheduler/TellExpiry") {
        tokio::task::yield_now().await;
    }
    assert!(!running.is_finished());
    running.abort();
}
