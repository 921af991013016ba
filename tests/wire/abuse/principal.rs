//! The limits of one principal: what it may have under way, in memory and in a second. Each test has another principal beside
//! it, which is served all the while.

use prost::Message;
use strongroom::api::v1::{GetSecretRequest, ListSecretsRequest, RotateSecretRequest};
use tonic_types::StatusExt;

use super::site::{GET, Site};
use crate::harness::PATIENCE;
use crate::raw::{Wire, framed};
use crate::requests::{MAX_VALUE, Value, create, get, list, rotate};

/// A revision that no test reaches.
const AHEAD: u64 = 1 << 40;
const CHECK: &str = "/grpc.health.v1.Health/Check";
const ROTATE: &str = "/strongroom.v1.SecretService/RotateSecret";
const LIST: &str = "/strongroom.v1.SecretService/ListSecrets";

#[tokio::test]
async fn a_principal_has_so_many_requests_under_way_and_leaves_the_others_alone() {
    let site = Site::with("requests_per_principal = 3").await;
    let (_, held) = site.hold(3).await;
    site.until("requests_per_principal", |usage| usage.used == 3).await;
    // Another connection of the same principal does not help.
    let more = site.wire().await.call(GET, &get("A").encode_to_vec()).await;
    site.refused_at(more, "requests_per_principal");
    site.others_are_served().await;

    for request in held {
        request.end(get("A").encode_to_vec()).await.expect("the request is answered");
    }
    site.until("requests_per_principal", |usage| usage.used <= 1).await;
    site.wire().await.call(GET, &get("A").encode_to_vec()).await.expect("there is room again");
}

#[tokio::test]
async fn requests_that_are_reset_count_until_their_work_has_ended() {
    let site = Site::with("requests_per_principal = 3").await;
    let wire = site.wire().await;
    let change = |n: u64| RotateSecretRequest { min_revision: AHEAD, ..rotate("A", &n.to_string()) };
    for n in 1..=3 {
        let mut request = wire.begin(ROTATE, framed(&change(n).encode_to_vec())).await;
        request.body.send_data(Default::default(), true).unwrap();
        site.until("requests_per_principal", |usage| usage.used == n).await;
        request.reset();
        // The server has seen the reset once it has answered a later request. The work on a change goes on to its end.
        wire.call(CHECK, &[]).await.unwrap();
    }
    let usage = site.usage("requests_per_principal").await;
    assert_eq!(usage.used, 3, "{usage:?}");
    let more = site.wire().await.call(GET, &get("A").encode_to_vec()).await;
    site.refused_at(more, "requests_per_principal");
    site.others_are_served().await;
    // A read that nobody wants any more ends at once: it has its place back.
    site.until("requests_per_principal", |usage| usage.used <= 1).await;
    let waiting = GetSecretRequest { min_revision: AHEAD, ..get("A") }.encode_to_vec();
    for _ in 0..3 {
        let mut request = wire.begin(GET, framed(&waiting)).await;
        request.body.send_data(Default::default(), true).unwrap();
        site.until("requests_per_principal", |usage| usage.used == 1).await;
        request.reset();
        wire.call(CHECK, &[]).await.unwrap();
    }
    assert_eq!(site.abuser.value("A").await, Value::text("a"));
}

/// The server knows how much the peer lets it send: on a stream, and on the connection.
#[tokio::test]
async fn small_replies_that_are_not_taken_count() {
    let site = Site::with("requests_per_principal = 3\nreply_time = '1h'").await;
    site.abuser.create("small", &"v".repeat(256)).await;
    site.abuser.create("large", &"v".repeat(60_000)).await;
    for window in [1, 65_535] {
        let wire = Wire::with_window(&site.server, window).await.bearer(&site.credential);
        let read = async |name: &str| {
            let mut request = wire.begin(GET, framed(&get(name).encode_to_vec())).await;
            request.body.send_data(Default::default(), true).unwrap();
            request.begun().await
        };
        let mut held = Vec::new();
        if window > 1 {
            held.push(read("large").await.unwrap()); // leaves little of the window of the connection
        }
        let refusal = loop {
            match read("small").await {
                Ok(reply) => held.push(reply),
                Err(refusal) => break refusal,
            }
            assert!(held.len() < 40, "replies of more bytes than the window has do not count");
        };
        site.refused_at::<()>(Err(refusal), "requests_per_principal");
        site.others_are_served().await;
        assert!(held.len() >= 3, "{} were answered", held.len());
        drop((held, wire));
        site.until("requests_per_principal", |usage| usage.used <= 1).await;
    }
}

#[tokio::test]
async fn replies_that_are_not_taken_count_up_to_the_memory_of_a_principal() {
    let site = Site::with("memory_per_principal = '8 MiB'").await;
    // A page of 3 MiB.
    let description = "d".repeat(1024);
    for n in 0..1000 {
        let mut secret = create(&format!("k{n}"), "v");
        secret.metadata = (0..8).map(|pair| (format!("k{pair}"), "m".repeat(400))).collect();
        secret.description.clone_from(&description);
        site.abuser.create_with(secret).await;
    }
    let page = ListSecretsRequest { limit: Some(1000), ..list() }.encode_to_vec();
    let wire = Wire::with_window(&site.server, 1).await.bearer(&site.credential);
    let mut held = Vec::new();
    let refusal = loop {
        let mut request = wire.begin(LIST, framed(&page)).await;
        request.body.send_data(Default::default(), true).unwrap();
        match request.begun().await {
            Ok(taking) => held.push(taking),
            Err(refusal) => break refusal,
        }
        assert!(held.len() < 10, "{} pages of 3 MiB are in memory", held.len());
    };
    assert!(held.len() >= 2, "{} pages were let in", held.len());
    site.refused_at::<()>(Err(refusal), "memory_per_principal");
    // A page that may not have room is not made, whatever it would hold. There is room for a smaller one.
    let none = ListSecretsRequest { name_prefix: "none".into(), ..list() };
    let large = ListSecretsRequest { limit: Some(1000), ..none.clone() };
    site.refused_at(site.abuser.secrets().list_secrets(large).await, "memory_per_principal");
    let small = ListSecretsRequest { limit: Some(1), ..none };
    assert!(site.abuser.list(small).await.items.is_empty());
    site.others_are_served().await;

    drop((held, wire));
    site.until("memory_per_principal", |usage| usage.used < 1 << 20).await;
    site.abuser.list(list()).await;
}

#[tokio::test]
async fn messages_count_up_to_the_memory_of_a_principal_while_they_arrive() {
    let site = Site::with("memory_per_principal = '8 MiB'").await;
    let wire = site.wire().await;
    let message = create("large", &"v".repeat(MAX_VALUE)).encode_to_vec();
    let mut bytes = crate::raw::frame(0, 1 << 20, &message);
    bytes.resize(1 << 20, 0);
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(wire.begin("/strongroom.v1.SecretService/CreateSecret", bytes.clone()).await);
    }
    site.until("memory_per_principal", |usage| usage.refused > 0).await;
    let usage = site.usage("memory_per_principal").await;
    assert!(usage.used <= usage.limit, "{usage:?}");
    site.others_are_served().await;
    drop(held);
    site.until("memory_per_principal", |usage| usage.used < 1 << 20).await;
}

#[tokio::test]
async fn a_principal_has_so_many_requests_a_second() {
    let site = Site::with("requests_per_second = 50").await;
    let mut refusals = Vec::new();
    for _ in 0..500 {
        if let Err(status) = site.abuser.secrets().get_secret(get("A")).await {
            refusals.push(status);
        }
        if refusals.len() > 20 {
            break;
        }
    }
    let refusal = refusals.pop().expect("500 requests are more than a second allows");
    let wait = refusal.get_details_retry_info().and_then(|retry| retry.retry_delay).unwrap();
    assert!(wait <= std::time::Duration::from_secs(1), "{wait:?}");
    site.refused_at::<()>(Err(refusal), "requests_per_second");
    let usage = site.usage("requests_per_second").await;
    assert!(usage.limit == 50 && usage.used > 0 && usage.refused > 20, "{usage:?}");
    assert_eq!(site.usage("requests_per_principal").await.refused, 0);
    site.others_are_served().await;
    // Refusals at a limit have one record a second.
    let summed = async {
        while !site.server.logged().lines().any(|line| line.contains("refusals") && line.contains("key:")) {
            let _ = site.other.secrets().get_secret(get("B")).await;
        }
    };
    tokio::time::timeout(PATIENCE, summed).await.expect("a record of the refusals");
}

#[tokio::test]
async fn all_principals_together_have_so_many_requests_under_way() {
    let site = Site::with("requests = 4").await;
    let mut held = Vec::new();
    let refusal = async {
        loop {
            // A request that is held takes the place of one that has been answered.
            held.push(site.hold(1).await);
            if let Err(refusal) = site.other.secrets().get_secret(get("B")).await {
                break refusal;
            }
        }
    };
    let refusal = tokio::time::timeout(PATIENCE, refusal).await.expect("a refusal");
    site.refused_at::<()>(Err(refusal), "requests");
    drop(held);
    site.until_served().await;
    site.others_are_served().await;
}

#[tokio::test]
async fn all_principals_together_have_so_much_in_memory() {
    let site = Site::with("memory = '8 MiB'").await;
    let wire = site.wire().await;
    let bytes = crate::raw::frame(0, 1 << 20, &vec![0; (1 << 20) - 1]);
    let mut held = Vec::new();
    for _ in 0..7 {
        held.push(wire.begin("/strongroom.v1.SecretService/CreateSecret", bytes.clone()).await);
    }
    site.until("memory", |usage| usage.used >= 7 * ((1 << 20) - 1)).await;
    // Another key has nothing of its own in memory. A page that may have no room is refused, and what has room is served.
    let page = || ListSecretsRequest { limit: Some(1000), ..list() };
    site.refused_at(site.other.secrets().list_secrets(page()).await, "memory");
    assert!(site.usage("memory").await.refused > 0);
    site.others_are_served().await;
    drop((held, wire));
    site.until("memory", |usage| usage.used < 1 << 20).await;
    site.other.list(page()).await;
}
