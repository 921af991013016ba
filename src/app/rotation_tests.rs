//! Rotations by a clock that the tests move: races of workers, leases that run out, and versions that retire once nobody uses them.

use std::sync::Arc;
use std::time::Duration;

use super::fixture::{Fixture, named, options, reopen_with};
use super::{
    Acknowledgement, ClaimQuery, ClaimRelease, ClaimToken, ClaimedRotation, Error, Options, Promotion,
    SecretRotation, SecretUpdate, ValueSource,
};
use crate::audit::Names;
use crate::auth::{NamespaceGrant, PrincipalName, Read, Rotate, Write};
use crate::domain::{Metadata, Minute, Namespace, RotationFilter, RotationPolicy, Value, VersionState};
use crate::store::Store;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn policy(interval: Duration) -> RotationPolicy {
    RotationPolicy {
        interval: Some(interval),
        generator: None,
        grace_period: None,
        window: None,
        paused: false,
        retire_when_unread: false,
    }
}

impl Fixture {
    async fn set_policy(&self, name: &str, policy: RotationPolicy) {
        let update = SecretUpdate { rotation_policy: Some(Some(policy)), ..SecretUpdate::default() };
        self.app.secrets.update(&self.grant::<Write>(name), update, None).await.unwrap();
    }

    fn rotate_grant(&self) -> NamespaceGrant<Rotate> {
        self.app.access.grant_namespace(&self.root, &Namespace::default_namespace()).unwrap()
    }

    async fn claim(&self, lease: Duration) -> Result<ClaimedRotation, Error> {
        let filter = RotationFilter { prefix: "".into(), metadata: Metadata::default() };
        let query = ClaimQuery { filter, lease };
        self.app.secrets.claim_rotation(&self.rotate_grant(), &query, |_| {}).await
    }

    async fn rotate_with(
        &self,
        name: &str,
        value: &str,
        stage: bool,
        token: &ClaimToken,
    ) -> Result<u32, Error> {
        let source = ValueSource::Value(Value::text(value.to_owned()).unwrap());
        let rotation = SecretRotation { stage, claim: Some(token.clone()), ..SecretRotation::of(source) };
        let changed = self.app.secrets.rotate(&self.grant::<Rotate>(name), rotation, None).await?;
        Ok(changed.version)
    }

    async fn promote(&self, name: &str, number: u32, claim: Option<&ClaimToken>) -> Result<u32, Error> {
        let promotion = Promotion { number, grace_period: None, claim: claim.cloned(), etag: None };
        let changed = self.app.secrets.promote(&self.grant::<Rotate>(name), &promotion, None).await?;
        Ok(changed.secret.version)
    }

    fn advance(&self, by: Duration) {
        self.app.core.clock.advance(by);
    }

    /// A server more over the same data, with the same clock.
    async fn replica(&self, store: Arc<dyn Store>) -> Self {
        let options = Options { clock: self.app.core.clock.clone(), ..options() };
        let app = Arc::new(reopen_with(&store, &self.master, options).await.unwrap());
        let root = app.access.authenticate(&self.root_key).unwrap();
        Self { app, store, master: self.master.clone(), root, root_key: self.root_key.clone() }
    }

    fn state(&self, name: &str, number: u32) -> VersionState {
        self.secret(name).versions.find(number).unwrap().state_at(self.app.core.clock.now())
    }
}

/// What one of two racers got, and why the other one lost.
async fn won<T: Send + 'static>(
    what: &str,
    racers: [impl Future<Output = Result<T, Error>> + Send + 'static; 2],
) -> (T, Error) {
    let [one, other] = racers.map(tokio::spawn);
    match (one.await.unwrap(), other.await.unwrap()) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        (Ok(_), Ok(_)) => panic!("{what} has two winners"),
        (Err(one), Err(other)) => panic!("{what} has no winner: {one:?}, {other:?}"),
    }
}

/// Waits until both servers show what the other one has done.
async fn agree(servers: &[Arc<Fixture>; 2]) {
    let newest = servers.iter().map(|server| server.app.revision()).max().unwrap();
    for server in servers {
        server.app.core.catalog.at_least(newest).await.unwrap();
    }
}

/// Two workers race for each rotation, for the new version, and for which version is to be current. Each has a server of its own, so
/// that no lock is between them: the commits alone decide.
async fn race_of_two_servers(servers: [Arc<Fixture>; 2], rounds: u32) {
    let [first, _] = &servers;
    first.create("a", "before").await.unwrap();
    first.rotate("a", "0").await;
    first.set_policy("a", policy(SECOND)).await;
    for round in 1..=rounds {
        first.advance(SECOND);
        for server in servers.iter().filter(|server| server.app.shares_its_store()) {
            server.app.exchange_heartbeats().await; // so that it knows that its clock was moved
        }
        agree(&servers).await;
        let claims = servers.clone().map(|server| async move { server.claim(HOUR).await });
        let (claimed, lost) = won(&format!("claim {round}"), claims).await;
        assert!(matches!(lost, Error::NoRotationDue), "{lost:?}");

        agree(&servers).await;
        let mut numbered = 0;
        let stages = servers.clone().map(|server| {
            numbered += 1;
            let (value, token) = (format!("{round} of {numbered}"), claimed.token.clone());
            async move {
                let version = server.rotate_with("a", &value, true, &token).await?;
                Ok((version, value))
            }
        });
        let ((staged, value), lost) = won(&format!("stage {round}"), stages).await;
        assert!(matches!(lost, Error::RotationPending(..)), "{lost:?}");
        assert_eq!(staged, round + 2);

        agree(&servers).await;
        // One worker makes the new version current, and somebody goes back to an older one.
        let etag = first.secret("a").etag();
        let mut versions = [staged, staged - 2].into_iter();
        let promotions = servers.clone().map(|server| {
            let (number, etag) = (versions.next().unwrap(), etag.clone());
            async move {
                let promotion =
                    Promotion { number, grace_period: None, claim: None, etag: Some(etag.into()) };
                server.app.secrets.promote(&server.grant::<Rotate>("a"), &promotion, None).await?;
                Ok(number)
            }
        });
        let (promoted, lost) = won(&format!("promotion {round}"), promotions).await;
        assert!(matches!(lost, Error::EtagMismatch), "{lost:?}");
        agree(&servers).await;
        for server in &servers {
            assert_eq!(server.secret("a").version, promoted);
        }
        if promoted != staged {
            first.promote("a", staged, None).await.unwrap();
        }
        assert_eq!(first.value(&first.app, "a").await.unwrap(), value);
    }
    agree(&servers).await;
    for server in &servers {
        assert_eq!(server.secret("a").version, rounds + 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_at_two_servers_one_wins_each_claim_stage_and_promotion() {
    let first = Fixture::open().await;
    let second = first.replica(first.store.clone()).await;
    race_of_two_servers([Arc::new(first), Arc::new(second)], 500).await;
}

#[cfg(feature = "etcd")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_at_two_replicas_over_etcd_one_wins() {
    use crate::store::etcd_fixture::{fresh, shared};
    let Some(etcd) = shared() else { return };
    let settings = fresh(etcd);
    let open = async || crate::store::open_etcd(&settings).await.unwrap();
    let first = Fixture::over(open().await).await;
    let second = first.replica(open().await).await;
    race_of_two_servers([Arc::new(first), Arc::new(second)], 50).await;
}

#[tokio::test]
async fn workers_get_different_rotations_those_that_are_due_for_longest_first() {
    let fixture = Fixture::open().await;
    for (name, seconds) in [("b", 3), ("a", 5), ("c", 1)] {
        fixture.create(name, "v").await.unwrap();
        fixture.set_policy(name, policy(Duration::from_secs(seconds))).await;
    }
    fixture.advance(HOUR);
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(fixture.claim(HOUR).await.unwrap().secret.name.to_string());
    }
    assert_eq!(names, ["c", "b", "a"]);
    assert!(matches!(fixture.claim(HOUR).await, Err(Error::NoRotationDue)));
}

#[tokio::test]
async fn a_lease_that_runs_out_frees_the_rotation_and_its_holder_can_do_nothing_more() {
    let fixture = Fixture::open().await;
    fixture.create("a", "one").await.unwrap();
    fixture.set_policy("a", policy(SECOND)).await;
    fixture.advance(SECOND);
    let dead = fixture.claim(Duration::from_secs(10)).await.unwrap().token;
    assert_eq!(fixture.rotate_with("a", "two", true, &dead).await.unwrap(), 2);
    assert!(matches!(fixture.claim(HOUR).await, Err(Error::NoRotationDue)));
    fixture.advance(Duration::from_secs(10));
    let before = fixture.secret("a");
    assert!(matches!(fixture.promote("a", 2, Some(&dead)).await, Err(Error::ClaimLost)));
    let release = ClaimRelease { token: dead.clone(), failure: None };
    let released = fixture.app.secrets.release_rotation(&fixture.grant::<Rotate>("a"), &release).await;
    assert!(matches!(released, Err(Error::ClaimLost)));
    assert_eq!(*fixture.secret("a"), *before);

    // The next worker finds what was left pending, and ends it.
    let next = fixture.claim(HOUR).await.unwrap();
    assert_eq!(next.secret.pending_version(), Some(2));
    assert!(matches!(fixture.promote("a", 2, Some(&dead)).await, Err(Error::ClaimLost)));
    assert_eq!(fixture.promote("a", 2, Some(&next.token)).await.unwrap(), 2);
    // The claims survive a restart with their secret, and are gone with the rotation.
    assert!(fixture.secret("a").rotation.as_ref().unwrap().claim.is_none());
}

#[tokio::test]
async fn failures_wait_and_a_claim_survives_a_restart() {
    let fixture = Fixture::open().await;
    fixture.create("a", "one").await.unwrap();
    fixture.set_policy("a", policy(SECOND)).await;
    fixture.advance(SECOND);
    for attempts in 1..=3 {
        let token = fixture.claim(HOUR).await.unwrap().token;
        let claimed = fixture.app.secrets.claimed_secret(&token);
        assert_eq!(claimed, Some((Namespace::default_namespace(), named("a"))));
        let restarted = fixture.restart().await;
        assert_eq!(restarted.secrets.claimed_secret(&token), claimed);
        let release = ClaimRelease { token, failure: Some(("it hurt".into(), None)) };
        let grant = fixture.grant::<Rotate>("a");
        let (secret, _) = fixture.app.secrets.release_rotation(&grant, &release).await.unwrap();
        assert_eq!(secret.rotation.unwrap().failure.unwrap().attempts, attempts);
        assert!(matches!(fixture.claim(HOUR).await, Err(Error::NoRotationDue)));
        fixture.advance(Duration::from_secs(60 << (attempts - 1)));
    }
    let token = fixture.claim(HOUR).await.unwrap().token;
    fixture.rotate_with("a", "two", false, &token).await.unwrap();
    assert_eq!(fixture.secret("a").rotation.as_ref().unwrap().failure, None);
}

#[tokio::test]
async fn the_grace_period_ends_by_the_clock() {
    let fixture = Fixture::open().await;
    fixture.create("a", "one").await.unwrap();
    let graced = RotationPolicy { grace_period: Some(HOUR), ..policy(Duration::from_secs(86_400)) };
    fixture.set_policy("a", graced).await;
    fixture.rotate("a", "two").await;
    assert_eq!(fixture.value_of(&fixture.app, "a", Some(1)).await.unwrap(), "one");
    fixture.advance(HOUR);
    let read = fixture.value_of(&fixture.app, "a", Some(1)).await;
    assert!(matches!(read, Err(Error::VersionDisabled(..))));
    assert!(matches!(fixture.promote("a", 1, None).await, Err(Error::VersionDisabled(..))));
    assert_eq!(fixture.value(&fixture.app, "a").await.unwrap(), "two");
}

#[tokio::test]
async fn a_former_version_retires_once_each_of_its_consumers_uses_the_new_one() {
    let fixture = Fixture::open().await;
    fixture.create("a", "one").await.unwrap();
    let graced = RotationPolicy {
        grace_period: Some(HOUR),
        retire_when_unread: true,
        ..policy(Duration::from_secs(86_400))
    };
    fixture.set_policy("a", graced).await;
    let other = fixture.caller(super::Expiry::Never).await;
    let core = &fixture.app.core;
    let namespace = core.catalog.namespaces()[0].clone();
    let id = fixture.secret("a").id;
    let read = |principal: &PrincipalName, version| {
        core.usage.note_read_at(&namespace, id, version, principal, Minute::of(core.clock.now()));
    };
    read(fixture.root.name(), 1);
    read(other.name(), 1);
    fixture.app.store_usage().await;
    fixture.rotate("a", "two").await;
    fixture.advance(Duration::from_secs(60));
    read(fixture.root.name(), 2);
    let grant = fixture.grant_to::<Read>(&other, "a");
    let acknowledgement = Acknowledgement { number: 2, consumer: "".into() };
    fixture.app.secrets.acknowledge(&grant, &acknowledgement).await.unwrap();
    // A use from before the promotion may not be stored yet.
    fixture.app.store_usage().await;
    assert_eq!(fixture.state("a", 1), VersionState::Enabled);
    fixture.advance(Duration::from_secs(60));
    // One that still uses the old version keeps it.
    read(other.name(), 1);
    fixture.app.store_usage().await;
    assert_eq!(fixture.state("a", 1), VersionState::Enabled);
    let etag = fixture.secret("a").etag();
    fixture.advance(Duration::from_secs(60));
    read(other.name(), 2);
    fixture.app.store_usage().await;
    assert_eq!(fixture.state("a", 1), VersionState::Disabled);
    // The scheduler makes it so, as at the end of any grace period.
    assert_eq!(fixture.secret("a").etag(), etag);
    assert!(fixture.app.secrets.attend(namespace.id(), id, &Names::default()).await.unwrap().is_some());
    let secret = fixture.secret("a");
    let first = secret.versions.find(1).unwrap();
    assert_eq!((first.state, first.retires_at), (VersionState::Disabled, None));
    assert_ne!(secret.etag(), etag);
}

#[tokio::test]
async fn a_clock_that_was_once_ahead_lengthens_no_grace_period_and_no_interval() {
    let ahead = Fixture::open().await;
    ahead.advance(240 * HOUR);
    ahead.create("a", "1").await.unwrap();
    let hourly = RotationPolicy { grace_period: Some(HOUR), ..policy(2 * HOUR) };
    ahead.set_policy("a", hourly).await;

    let right = ahead.beside(ahead.store.clone()).await;
    let soon = right.app.core.clock.now().plus(3 * HOUR);
    right.rotate("a", "2").await;
    let secret = right.secret("a");
    assert!(secret.updated_at > soon, "times of changes never go back");
    let former = secret.versions.find(1).unwrap();
    assert!(former.retires_at.unwrap() < soon, "{former:?}");
    assert!(secret.rotation.as_ref().unwrap().next_at.unwrap() < soon);
}
