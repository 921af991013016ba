//! Servers over one etcd whose clocks differ, and what they tell each other.

use std::sync::Arc;
use std::time::Duration;

use super::fixture::{Fixture, options, reopen_with};
use super::{Error, Options, SetupError};
use crate::domain::Clock;
use crate::store::etcd_fixture::{Etcd, fresh, shared};
use crate::store::{Store, open_etcd};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn with_clock(clock: &Clock) -> Options {
    Options { clock: clock.clone(), ..options() }
}

/// A server more over the same etcd, with a clock of its own.
async fn beside(fixture: &Fixture, store: Arc<dyn Store>, clock: &Clock) -> Fixture {
    let app = Arc::new(reopen_with(&store, &fixture.master, with_clock(clock)).await.unwrap());
    let root = app.access.authenticate(&fixture.root_key).unwrap();
    Fixture { app, store, master: fixture.master.clone(), root, root_key: fixture.root_key.clone() }
}

fn refusal(outcome: Result<impl Sized, Error>) -> String {
    match outcome {
        Err(Error::Unavailable(why)) => why.to_string(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was made"),
    }
}

/// Lets servers show each other their clocks, until each knows those of all others.
async fn exchange(servers: &[&Fixture]) {
    for _ in 0..2 {
        for server in servers {
            server.app.exchange_heartbeats().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_whose_clocks_differ_make_no_changes_until_they_agree() {
    let Some(etcd) = shared() else { return };
    let settings = fresh(etcd);
    let open = async || open_etcd(&settings).await.unwrap();
    let [right, wrong] = [Clock::default(), Clock::default()];
    let first = open().await;
    let keys = Arc::new(crate::crypto::MasterKeys::generate().unwrap());
    let one = Fixture::with_options(first, keys, with_clock(&right)).await;
    let other = beside(&one, open().await, &wrong).await;
    exchange(&[&one, &other]).await;
    one.create("a", "1").await.unwrap();
    other.create("b", "1").await.unwrap();
    assert_eq!(one.app.clock_skew().unwrap().others, 1);

    // A clock that jumps is noticed before the next exchange, and by both after it.
    wrong.advance(HOUR);
    assert!(refusal(other.create("c", "1").await).contains("s ahead of that of another one"));
    exchange(&[&one, &other]).await;
    assert!(refusal(one.create("c", "1").await).contains("s behind that of another one"));
    assert!(refusal(other.create("c", "1").await).contains("s ahead of that of another one"));
    assert!(refusal(other.app.idempotency.remove_expired().await).contains("set the clocks"));
    assert!(refusal(other.app.history.sweep().await).contains("set the clocks"));
    let skew = one.app.clock_skew().unwrap();
    assert!(!skew.agrees && (3590..3610).contains(&(skew.largest / 1_000_000)), "{skew:?}");
    assert_eq!(other.value(&other.app, "a").await.unwrap(), "1", "reads go on");

    // With a third one, most agree, and the one that is wrong makes no changes. So it is from its start on.
    let third = beside(&one, open().await, &right).await;
    exchange(&[&one, &other, &third]).await;
    one.create("c", "1").await.unwrap();
    third.create("d", "1").await.unwrap();
    assert!(refusal(other.create("e", "1").await).contains("from 2 of 2"));
    let fourth = beside(&one, open().await, &wrong).await;
    exchange(&[&one, &third, &fourth]).await;
    assert!(refusal(fourth.create("e", "1").await).contains("set the clocks"));
    assert!(one.secret("c").updated_at < wrong.now(), "nothing got the time that is wrong");

    right.advance(HOUR);
    exchange(&[&one, &other, &third, &fourth]).await;
    for (server, name) in [(&one, "e"), (&other, "f"), (&third, "g"), (&fourth, "h")] {
        server.create(name, "1").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_may_be_four_seconds_apart_and_not_six() {
    let Some(etcd) = shared() else { return };
    let settings = fresh(etcd);
    let open = async || open_etcd(&settings).await.unwrap();
    let [right, wrong] = [Clock::default(), Clock::default()];
    let one = Fixture::with_options(
        open().await,
        Arc::new(crate::crypto::MasterKeys::generate().unwrap()),
        with_clock(&right),
    )
    .await;
    wrong.advance(Duration::from_secs(4));
    let other = beside(&one, open().await, &wrong).await;
    exchange(&[&one, &other]).await;
    one.create("a", "1").await.unwrap();
    other.create("b", "1").await.unwrap();
    wrong.advance(Duration::from_secs(2));
    assert!(refusal(other.create("c", "1").await).contains("is 6 s ahead of"));
    exchange(&[&one, &other]).await;
    assert!(refusal(one.create("c", "1").await).contains("s behind that of another one"));
}

/// Of a server that is behind by less than a heartbeat lives, the heartbeat looks like an old one of a server that agrees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_makes_no_change_before_the_others_have_shown_their_clocks_again() {
    let Some(etcd) = shared() else { return };
    let settings = fresh(etcd);
    let open = async || open_etcd(&settings).await.unwrap();
    let [right, ahead] = [Clock::default(), Clock::default()];
    let keys = Arc::new(crate::crypto::MasterKeys::generate().unwrap());
    let one = Fixture::with_options(open().await, keys, with_clock(&right)).await;
    one.app.exchange_heartbeats().await;
    ahead.advance(Duration::from_secs(14));
    let other = beside(&one, open().await, &ahead).await;
    assert_eq!(other.app.obstacles().len(), 0, "a change waits");
    let (made, ()) = tokio::join!(other.create("a", "1"), async {
        tokio::time::sleep(Duration::from_millis(1)).await; // whichever is first
        one.app.exchange_heartbeats().await;
    });
    assert!(refusal(made).contains("set the clocks"));
    right.advance(Duration::from_secs(14));
    exchange(&[&one, &other]).await;
    other.create("a", "1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_does_not_start_over_a_store_that_lacks_what_another_one_has_seen() {
    let Some(etcd) = Etcd::start() else { return };
    let settings = fresh(&etcd);
    let open = async || open_etcd(&settings).await.unwrap();
    let fixture = Fixture::over(open().await).await;
    fixture.create("a", "1").await.unwrap();
    let saved = etcd.save();
    while fixture.app.check().await.is_err() {}
    fixture.create("b", "1").await.unwrap();
    etcd.put_back(&saved);
    while fixture.app.serves().is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The server that runs refuses the older copy, and tells the others that it has seen more.
    for _ in 0..2 {
        fixture.app.exchange_heartbeats().await; // etcd does not know the lease of the first one
    }
    let refused = reopen_with(&open().await, &fixture.master, options()).await.err().unwrap();
    assert!(matches!(refused, SetupError::BehindOthers(_)), "{refused}");
    let accepting = Options { accept_altered_store: true, ..options() };
    let accepted = reopen_with(&open().await, &fixture.master, accepting).await.unwrap();
    assert!(accepted.serves().is_ok() && fixture.app.serves().is_err());
}
