//! The limits of one principal: what it may have under way, in memory and in a second. Each test has another principal beside
//! it, which is served all the while.

use prost::Message;
use serde_json::json;
use strongroom::api::v1::{
    CreateApiKeyRequest, GetSecretRequest, GetStatusRequest, LimitUse, ResolveReferencesRequest,
};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::beside::{BOUND, beside, key, peak, resident};
use crate::caller::{Caller, Room};
use crate::harness::{Launch, PATIENCE, Server};
use crate::raw::{Begun, Wire, framed};
use crate::references::wire_map;
use crate::refusal::{reason_of, refused};
use crate::requests::{MAX_VALUE, Value, create, get, list, rotate};

const GET: &str = "/strongroom.v1.SecretService/GetSecret";
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
    let waiting = GetSecretRequest { min_revision: u64::MAX, ..get("A") }.encode_to_vec();
    let wire = site.wire().await;
    for _ in 0..3 {
        let mut request = wire.begin(GET, framed(&waiting)).await;
        request.body.send_data(Default::default(), true).unwrap();
        site.until("requests_per_principal", |usage| usage.used > 0).await;
        request.reset();
    }
    // Work that waits ends when its time is up, or when nobody wants it any more; until then it counts. So a loop of resets
    // never has more than three requests in the server.
    for _ in 0..200 {
        let mut request = wire.begin(GET, framed(&waiting)).await;
        request.body.send_data(Default::default(), true).unwrap();
        request.reset();
    }
    let usage = site.usage("requests_per_principal").await;
    assert!(usage.used <= 3, "{usage:?}");
    site.others_are_served().await;
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
    let page = strongroom::api::v1::ListSecretsRequest { limit: Some(1000), ..list() }.encode_to_vec();
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
    let none = strongroom::api::v1::ListSecretsRequest { name_prefix: "none".into(), ..list() };
    let large = strongroom::api::v1::ListSecretsRequest { limit: Some(1000), ..none.clone() };
    site.refused_at(site.abuser.secrets().list_secrets(large).await, "memory_per_principal");
    let small = strongroom::api::v1::ListSecretsRequest { limit: Some(1), ..none };
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
async fn documents_of_one_caller_leave_the_others_their_turns() {
    let mut server = Server::alone();
    let key = key(&server).await;
    let abuser = Caller::new(&server, crate::caller::Credential::bearer(&key)).await;
    // Each takes a while to compute, and names many secrets that do not exist.
    let fields = (0..900).map(|n| {
        let expression = format!("$ secrets.get('missing{n}', 'none').upper().lower().strip()");
        (format!("field{n}"), json!(expression))
    });
    let document = wire_map(serde_json::Value::Object(fields.collect()));
    let request = ResolveReferencesRequest { document: Some(document), ..Default::default() };
    let before = resident(&server);
    // The memory of the documents of one caller is limited to 64 MiB.
    beside(&mut server, 2 * BOUND, async {
        let mut documents = JoinSet::new();
        for _ in 0..400 {
            let (mut references, request) = (abuser.references(), request.clone());
            documents.spawn(async move { references.resolve_references(request).await.map(drop) });
        }
        let mut refused = 0;
        while let Some(ended) = documents.join_next().await {
            if let Err(status) = ended.unwrap() {
                assert_eq!(reason_of(&status), "TOO_MANY_REQUESTS", "{status:?}");
                refused += 1;
            }
        }
        assert!(refused > 0, "400 documents found room in a queue of 64");
    })
    .await;
    // The server gives the memory back to the system. Without that, nearly all of it stays.
    let bound = before + (peak(&server) - before) * 3 / 4;
    let given_back = async {
        while resident(&server) > bound {
            abuser.names().await;
        }
    };
    tokio::time::timeout(PATIENCE, given_back).await.expect("memory is given back");
}

#[tokio::test]
async fn changes_of_one_caller_leave_the_others_their_turns() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Launch::durable(folder.path()).start();
    let key = key(&server).await;
    let abuser = Caller::new(&server, crate::caller::Credential::bearer(&key)).await;
    abuser.create("one", "v").await;
    beside(&mut server, BOUND, async {
        let mut changes = JoinSet::new();
        for n in 0..2000 {
            let mut secrets = abuser.secrets();
            changes.spawn(async move {
                let name = if n % 2 == 0 { "one".to_owned() } else { format!("many{n}") };
                match n % 2 {
                    0 => secrets.rotate_secret(rotate(&name, "v")).await.map(drop),
                    _ => secrets.create_secret(create(&name, "v")).await.map(drop),
                }
            });
        }
        while let Some(ended) = changes.join_next().await {
            if let Err(status) = ended.unwrap() {
                assert_eq!(reason_of(&status), "TOO_MANY_REQUESTS", "{status:?}");
            }
        }
    })
    .await;
}

/// A server with a principal that misbehaves and one that does not.
struct Site {
    server: Server,
    root: Caller,
    abuser: Caller,
    credential: String,
    other: Room,
}

impl Site {
    async fn with(limits: &str) -> Self {
        let server = Launch::in_memory().limits(limits).start();
        let root = Caller::root(&server).await;
        let request = CreateApiKeyRequest {
            name: "abuser".into(),
            home_namespace: "abuser".into(),
            ..Default::default()
        };
        let credential = root.access().create_api_key(request).await.unwrap().into_inner().credential;
        let abuser = Caller::new(&server, crate::caller::Credential::bearer(&credential)).await;
        abuser.create("A", "a").await;
        let other = Room::on(&server).await;
        other.create("B", "b").await;
        Self { server, root, abuser, credential, other }
    }

    async fn wire(&self) -> Wire {
        Wire::to(&self.server).await.bearer(&self.credential)
    }

    /// Begins requests of the abuser, and leaves them open.
    async fn hold(&self, many: usize) -> (Wire, Vec<Begun>) {
        let wire = self.wire().await;
        let length = u32::try_from(get("A").encoded_len()).unwrap();
        let mut held = Vec::new();
        for _ in 0..many {
            held.push(wire.begin(GET, crate::raw::frame(0, length, &[])).await);
        }
        (wire, held)
    }

    #[track_caller]
    fn refused_at<T>(&self, reply: Result<T, Status>, limit: &str) {
        let status = refused(reply.map(tonic::Response::new), Code::ResourceExhausted, "TOO_MANY_REQUESTS");
        let quota = status.get_details_quota_failure().expect("QuotaFailure");
        assert_eq!(quota.violations[0].subject, format!("limits.{limit}"));
        assert!(status.get_details_retry_info().is_some(), "{status:?}");
    }

    async fn others_are_served(&self) {
        for _ in 0..20 {
            assert_eq!(self.other.value("B").await, Value::text("b"));
        }
    }

    /// Waits until another principal's request is let in.
    async fn until_served(&self) {
        let asked = async { while self.other.secrets().get_secret(get("B")).await.is_err() {} };
        tokio::time::timeout(PATIENCE, asked).await.expect("there is room again");
    }

    async fn usage(&self, limit: &str) -> LimitUse {
        let status = self.root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
        status.limits.into_iter().find(|usage| usage.name == limit).expect(limit)
    }

    /// Waits until GetStatus says so.
    async fn until(&self, limit: &str, reached: impl Fn(&LimitUse) -> bool) {
        let asked = async { while !reached(&self.usage(limit).await) {} };
        tokio::time::timeout(PATIENCE, asked).await.expect("GetStatus says so");
    }
}
