//! Several addresses: which of them calls go to, and what happens when one goes away.

use std::net::SocketAddr;
use std::time::Duration;

use strongroom_client::{ApiKey, Client, ConnectError};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::fake::{Answer, Fake, HealthCheckResponse, Way};
use crate::reply;

/// A service that always has the secret.
fn replica() -> Fake {
    let fake = Fake::start([]);
    fake.always("GetSecret", &reply("a", "one"));
    fake
}

fn of(addresses: &[SocketAddr]) -> strongroom_client::Builder {
    let key = ApiKey::parse("srk_id_secret").unwrap();
    Client::builder().servers(addresses.iter().map(SocketAddr::to_string)).api_key(key)
}

/// How many of ten reads each service answers.
async fn reads(client: &Client, replicas: [&Fake; 2]) -> [usize; 2] {
    for replica in replicas {
        replica.seen();
    }
    for _ in 0..10 {
        client.get("a").await.unwrap();
    }
    replicas.map(|replica| replica.seen_by("GetSecret").len())
}

/// Makes reads until they are answered so.
async fn until(client: &Client, replicas: [&Fake; 2], expected: [usize; 2]) {
    let met = async { while reads(client, replicas).await != expected {} };
    timeout(Duration::from_secs(60), met).await.unwrap();
}

/// An address that nobody listens on.
async fn dead() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn calls_go_in_turn_to_the_servers_that_serve() {
    let (one, two) = (replica(), replica());
    let (health, live) = Answer::live();
    one.then("Watch", [live]);
    let client = of(&[one.address, two.address]).connect().await.unwrap();
    assert_eq!(reads(&client, [&one, &two]).await, [0, 10]);
    health.send(&HealthCheckResponse { status: 1 });
    until(&client, [&one, &two], [5, 5]).await;
    health.send(&HealthCheckResponse { status: 2 });
    until(&client, [&one, &two], [0, 10]).await;
    health.send(&HealthCheckResponse { status: 1 });
    until(&client, [&one, &two], [5, 5]).await;
}

#[tokio::test]
async fn a_server_without_the_health_service_gets_calls_too() {
    let (one, two) = (replica(), replica());
    let unknown = || Answer::Refusal(tonic::Status::unimplemented("unknown service"));
    one.then("Watch", std::iter::repeat_with(unknown).take(1000));
    let client = of(&[one.address, two.address]).connect().await.unwrap();
    until(&client, [&one, &two], [5, 5]).await;
}

#[tokio::test]
async fn a_dead_address_gets_no_calls() {
    let alive = replica();
    let client = of(&[dead().await, alive.address, dead().await]).build().unwrap();
    let once = strongroom_client::RetryPolicy::NEVER;
    let careless = of(&[dead().await, alive.address]).retry(once).connect().await.unwrap();
    for client in [client, careless] {
        assert_eq!(reads(&client, [&alive, &alive]).await, [10, 0]);
    }
}

#[tokio::test]
async fn a_server_that_goes_away_costs_no_call() {
    let (one, two) = (replica(), replica());
    let way = Way::to(one.address).await;
    let client = of(&[way.address, two.address]).connect().await.unwrap();
    until(&client, [&one, &two], [5, 5]).await;
    way.cut().await;
    assert_eq!(reads(&client, [&one, &two]).await, [0, 10]);
}

#[tokio::test]
async fn an_error_names_every_address_and_its_problem() {
    let (one, two) = (dead().await, dead().await);
    let error = of(&[one, two]).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    let client = of(&[one, two]).deadline(Duration::from_millis(300)).build().unwrap();
    let called = client.get("a").await.unwrap_err();
    for text in [error.to_string(), called.to_string()] {
        for address in [one, two] {
            let problem = format!("http://{address} cannot be reached");
            assert!(text.contains(&problem), "{text}");
        }
    }
}
