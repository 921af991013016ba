use super::*;
use crate::app::fixture::{Fixture, options};
use crate::app::{Options, SecretUpdate};
use crate::auth::Write;
use crate::crypto::MasterKeys;
use crate::domain::{Clock, Generator, Rotation, RotationPolicy};
use crate::store;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn every(interval: Duration, generator: Option<Generator>) -> RotationPolicy {
    RotationPolicy {
        interval: Some(interval),
        generator,
        grace_period: None,
        window: None,
        paused: false,
        retire_when_unread: false,
    }
}

#[tokio::test]
async fn rotations_expiries_and_unused_keys_are_counted() {
    let clock = Clock::default();
    let options = Options { clock: clock.clone(), ..options() };
    let store = store::open_memory().unwrap();
    let site = Fixture::with_options(store, Arc::new(MasterKeys::generate().unwrap()), options).await;
    let core = &site.app.core;
    let rotating = async |name: &str, policy: RotationPolicy| {
        let secret = site.create(name, "one").await.unwrap();
        let mut rotation = Rotation::new(policy.clone(), clock.now());
        // Watchers know of it: the service has nothing to do until a worker claims it.
        rotation.due_told = policy.generator.is_none();
        site.app.secrets.set_rotation(&secret, rotation).await;
    };
    rotating("by_worker", every(HOUR, None)).await;
    rotating("by_service", every(2 * HOUR, Some(Generator::Uuid))).await;
    rotating("paused", RotationPolicy { paused: true, ..every(HOUR, None) }).await;
    rotating("later", every(90 * DAY, None)).await;
    for (name, days) in [("soon", 6), ("late", 8)] {
        site.create(name, "one").await.unwrap();
        let expires_at = Some(Some(clock.now().plus(days * DAY)));
        let update = SecretUpdate { expires_at, ..SecretUpdate::default() };
        site.app.secrets.update(&site.grant::<Write>(name), update, None).await.unwrap();
    }
    let begun = Overview {
        rotations_planned: 3,
        expiring_secrets: 1,
        api_keys: 1,
        bindings: 1,
        ..Overview::default()
    };
    assert_eq!(count(core), begun);
    clock.advance(2 * HOUR);
    let due = Overview { rotations_due: 2, rotations_overdue: 1, ..begun };
    assert_eq!(count(core), due);

    let secret = site.secret("by_worker");
    let mut rotation = *secret.rotation.clone().unwrap();
    rotation.failed(clock.now(), "no route", None);
    site.app.secrets.set_rotation(&secret, rotation).await;
    assert_eq!(
        count(core),
        Overview { rotations_failing: 1, ..due },
        "it is due while it waits for the next try"
    );

    clock.advance(30 * DAY);
    let later = count(core);
    assert_eq!((later.unused_api_keys, later.expiring_secrets), (1, 0));
    assert_eq!(later, site.app.metrics().await.overview);
}
