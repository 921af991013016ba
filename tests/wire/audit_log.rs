//! The audit log in the data folder: what it holds, how it is read, and how every alteration of it is noticed, while the server
//! runs, when it starts, and without it.

mod faults;
mod names;
mod offline;
mod outbox;
mod python;

use serde_json::Value as Json;
use std::path::PathBuf;
use strongroom::api::v1::{
    AuditFilter, AuditOrder, AuditRecord, CreateApiKeyRequest, CreateBindingRequest, DeleteBindingRequest,
    Effect, FindAuditNamesRequest, GetCheckpointRequest, GetConsistencyProofRequest,
    GetInclusionProofRequest, GetSecretRequest, GetStatusRequest, ListAuditRecordsRequest, View,
    WatchAuditRecordsRequest,
};
use strongroom::integrity::audit_log::{Hash, TreeHead, VerifierKey, extends, includes, leaf_hash};
use tokio::time::timeout;
use tonic::{Code, Response, Streaming};

use crate::caller::{Caller, Room};
use crate::harness::{PATIENCE, Server};
use crate::refusal::refused;
use crate::requests::{describe, get};

/// The folder of a server's log.
pub fn folder(server: &Server) -> PathBuf {
    server.data_dir.join("audit")
}

pub fn newest_first(filter: AuditFilter) -> ListAuditRecordsRequest {
    ListAuditRecordsRequest { filter: Some(filter), limit: Some(1000), ..Default::default() }
}

/// A record as JSON.
pub fn json(record: &AuditRecord) -> Json {
    serde_json::from_slice(&record.line).unwrap()
}

/// All records that match, the oldest first, once the log has one that the last call made.
pub async fn records(caller: &Caller, filter: AuditFilter) -> Vec<AuditRecord> {
    settled(caller).await;
    let mut audit = caller.audit();
    let mut request =
        ListAuditRecordsRequest { order: AuditOrder::OldestFirst.into(), ..newest_first(filter) };
    let mut found = Vec::new();
    loop {
        let page = audit.list_audit_records(request.clone()).await.unwrap().into_inner();
        found.extend(page.items);
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

/// Waits until the records of all requests that were answered so far are readable: they are once they survive a crash.
pub async fn settled(caller: &Caller) {
    let mut audit = caller.audit();
    let marker = caller.secrets().get_secret(get("no_such_secret")).await.unwrap_err();
    let id = tonic_types::StatusExt::get_details_request_info(&marker).unwrap().request_id;
    let filter = AuditFilter { request_id: id, ..Default::default() };
    timeout(PATIENCE, async {
        while audit
            .list_audit_records(newest_first(filter.clone()))
            .await
            .unwrap()
            .into_inner()
            .items
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the record is readable");
}

fn hashes(hashes: &[Vec<u8>]) -> Vec<Hash> {
    hashes.iter().map(|hash| hash.as_slice().try_into().unwrap()).collect()
}

#[tokio::test]
async fn the_log_says_who_read_a_secret() {
    let room = Room::open().await;
    room.create("A", "v").await;
    room.get("A").await;
    room.caller.secrets().get_secret(get("B")).await.unwrap_err();
    let of = |filter| AuditFilter { namespace: room.namespace.clone(), ..filter };

    let read = AuditFilter { name: "A".into(), rpc: "GetSecret".into(), ..Default::default() };
    let found = records(&room.root, of(read)).await;
    let [record] = found.as_slice() else { panic!("{found:?}") };
    let line = json(record);
    assert_eq!(line["principal"], format!("key:{}", room.key.id));
    assert_eq!((line["outcome"].as_str(), line["version"].as_u64()), (Some("ok"), Some(1)));
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));

    assert!(line["subject"].is_null());
    // A read of the metadata is told from one of the value.
    let request = GetSecretRequest { view: View::Metadata.into(), ..get("A") };
    room.caller.secrets().get_secret(request).await.unwrap();
    let read = AuditFilter { name: "A".into(), rpc: "GetSecret".into(), ..Default::default() };
    let found = records(&room.root, of(read)).await;
    assert_eq!((found.len(), json(&found[1])["subject"].as_str()), (2, Some("metadata")));

    let refused = AuditFilter { reason: "SECRET_NOT_FOUND".into(), ..Default::default() };
    let found = records(&room.root, of(refused)).await;
    assert_eq!(found.iter().filter(|record| json(record)["name"] == "B").count(), 1);
    let all = records(&room.root, of(AuditFilter::default())).await;
    // The first one made the API key.
    let methods: Vec<_> = all.iter().map(|record| json(record)["rpc"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        methods[1..3],
        ["strongroom.v1.SecretService/CreateSecret", "strongroom.v1.SecretService/GetSecret"]
    );
    // No time matches both.
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    assert!(
        records(&room.root, of(AuditFilter { before: time(1_000_000_000), ..Default::default() }))
            .await
            .is_empty()
    );
    let since = AuditFilter { after: time(1_000_000_000), ..Default::default() };
    assert!(records(&room.root, of(since)).await.len() >= 3);
}

#[tokio::test]
async fn the_log_says_which_access_was_given_and_taken_away() {
    let room = Room::open().await;
    let binding = CreateBindingRequest {
        principal: format!("key:{}", room.key.id),
        role: "viewer".into(),
        namespace_pattern: format!("{}/**", room.namespace),
        name_pattern: "db_*".into(),
        effect: Effect::Deny.into(),
        expires_at: Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 }),
        ..Default::default()
    };
    let made = room.root.access().create_binding(binding).await.unwrap().into_inner();
    let id = made.binding.unwrap().id;
    room.root.access().delete_binding(DeleteBindingRequest { id: id.clone() }).await.unwrap();
    let access = serde_json::json!({
        "principal": format!("key:{}", room.key.id),
        "role": "viewer",
        "namespaces": format!("{}/**", room.namespace),
        "names": "db_*",
        "effect": "deny",
        "expires_at": "2096-10-02T07:06:40.000000Z",
    });
    for rpc in ["CreateBinding", "DeleteBinding"] {
        let found = records(&room.root, AuditFilter { rpc: rpc.into(), ..Default::default() }).await;
        let of_binding: Vec<_> = found.iter().map(json).filter(|line| line["subject"] == *id).collect();
        let [line] = &of_binding[..] else { panic!("{of_binding:?}") };
        assert_eq!(line["access"], access);
    }

    let request = CreateApiKeyRequest {
        name: "audited".into(),
        home_namespace: room.namespace.clone(),
        role: "rotator".into(),
        ..Default::default()
    };
    let made = room.root.access().create_api_key(request).await.unwrap().into_inner().api_key.unwrap();
    let filter =
        AuditFilter { namespace: room.namespace.clone(), rpc: "CreateApiKey".into(), ..Default::default() };
    let found: Vec<_> = records(&room.root, filter).await.iter().map(json).collect();
    let line = found.iter().find(|line| line["subject"] == *made.id).unwrap();
    let access = serde_json::json!({
        "principal": format!("key:{}", made.id),
        "role": "rotator",
        "namespaces": room.namespace,
        "names": "*",
        "effect": "allow",
    });
    assert_eq!(line["access"], access);
}

#[tokio::test]
async fn pages_are_disjoint_in_both_orders_and_bound_to_their_filter() {
    let room = Room::open().await;
    room.create("A", "v").await;
    for _ in 0..24 {
        room.get("A").await;
    }
    let filter = AuditFilter { namespace: room.namespace.clone(), name: "A".into(), ..Default::default() };
    let all: Vec<u64> = records(&room.root, filter.clone()).await.iter().map(|record| record.index).collect();
    assert_eq!(all.len(), 25);
    let mut audit = room.root.audit();
    for order in [AuditOrder::NewestFirst, AuditOrder::OldestFirst] {
        let mut request = ListAuditRecordsRequest {
            filter: Some(filter.clone()),
            limit: Some(10),
            order: order.into(),
            page_token: String::new(),
        };
        let mut paged = Vec::new();
        loop {
            let page = audit.list_audit_records(request.clone()).await.unwrap().into_inner();
            paged.extend(page.items.iter().map(|record| record.index));
            if page.next_page_token.is_empty() {
                break;
            }
            let other = ListAuditRecordsRequest {
                filter: None,
                page_token: page.next_page_token.clone(),
                ..request.clone()
            };
            refused(audit.list_audit_records(other).await, Code::InvalidArgument, "VALIDATION_FAILED");
            request.page_token = page.next_page_token;
        }
        if order == AuditOrder::NewestFirst {
            paged.reverse();
        }
        assert_eq!(paged, all, "{order:?}");
    }
    for wrong in [
        ListAuditRecordsRequest { limit: Some(0), ..Default::default() },
        ListAuditRecordsRequest { limit: Some(1001), ..Default::default() },
        ListAuditRecordsRequest { order: 9, ..Default::default() },
        ListAuditRecordsRequest { page_token: "nonsense".into(), ..Default::default() },
    ] {
        refused(audit.list_audit_records(wrong).await, Code::InvalidArgument, "VALIDATION_FAILED");
    }
}

#[tokio::test]
async fn checkpoints_and_proofs_hold() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    let mut audit = room.root.audit();
    settled(&room.root).await;
    let first = audit.get_checkpoint(GetCheckpointRequest {}).await.unwrap().into_inner();
    let key = VerifierKey::parse(&first.verifier_key).unwrap();
    let stored = std::fs::read_to_string(folder(&server).join("log.pub")).unwrap();
    assert_eq!(stored.trim(), first.verifier_key);
    let older = key.open(&first.checkpoint).unwrap();
    assert_eq!((older.size, older.root.to_vec()), (first.size, first.root.clone()));

    for _ in 0..20 {
        room.create(&format!("n{}", uuid::Uuid::new_v4().simple()), "v").await;
    }
    let all = records(&room.root, AuditFilter::default()).await;
    let second = audit.get_checkpoint(GetCheckpointRequest {}).await.unwrap().into_inner();
    let newer = key.open(&second.checkpoint).unwrap();
    assert!(newer.size > older.size + 20);
    let request = GetConsistencyProofRequest { older_size: older.size, size: Some(newer.size) };
    let proof = audit.get_consistency_proof(request).await.unwrap().into_inner();
    assert!(extends(&newer, &older, &hashes(&proof.hashes)));
    assert!(!extends(&newer, &TreeHead { root: [7; 32], ..older }, &hashes(&proof.hashes)));
    for record in &all {
        let request = GetInclusionProofRequest { index: record.index, size: Some(newer.size) };
        if record.index >= newer.size {
            continue;
        }
        let proof = audit.get_inclusion_proof(request).await.unwrap().into_inner();
        let leaf = leaf_hash(&record.line);
        assert_eq!(proof.leaf_hash, leaf);
        assert!(includes(&newer, record.index, &leaf, &hashes(&proof.hashes)), "{}", record.index);
    }
    let beyond = GetInclusionProofRequest { index: u64::MAX, size: None };
    refused(audit.get_inclusion_proof(beyond).await, Code::InvalidArgument, "VALIDATION_FAILED");
    let beyond = GetConsistencyProofRequest { older_size: 1, size: Some(u64::MAX) };
    refused(audit.get_consistency_proof(beyond).await, Code::InvalidArgument, "VALIDATION_FAILED");
    let status = room.root.operator().get_status(GetStatusRequest {}).await.unwrap().into_inner();
    let log = status.audit_log.unwrap();
    assert_eq!((log.origin.as_str(), log.failure.as_str(), log.breach.as_str()), (key.name(), "", ""));
    assert!(log.size >= newer.size);
}

#[tokio::test]
async fn only_who_has_the_right_reads_the_log() {
    let room = Room::open().await;
    let mut audit = room.caller.audit();
    let denied = |reply: Result<(), tonic::Status>| {
        refused(reply.map(Response::new), Code::PermissionDenied, "ACCESS_DENIED")
    };
    denied(audit.list_audit_records(ListAuditRecordsRequest::default()).await.map(drop));
    denied(audit.watch_audit_records(WatchAuditRecordsRequest::default()).await.map(drop));
    denied(audit.get_checkpoint(GetCheckpointRequest {}).await.map(drop));
    denied(audit.get_inclusion_proof(GetInclusionProofRequest::default()).await.map(drop));
    denied(audit.get_consistency_proof(GetConsistencyProofRequest::default()).await.map(drop));
    denied(audit.find_audit_names(FindAuditNamesRequest::default()).await.map(drop));
}

/// The next record of a stream.
async fn next(records: &mut Streaming<strongroom::api::v1::WatchAuditRecordsResponse>) -> AuditRecord {
    let next = timeout(PATIENCE, records.message()).await.expect("a record within the time");
    next.unwrap().expect("the stream goes on").record.unwrap()
}

#[tokio::test]
async fn a_watch_sends_each_record_once_and_goes_on_from_where_it_was() {
    let room = Room::open().await;
    room.create("A", "v").await;
    settled(&room.root).await;
    let filter = AuditFilter { namespace: room.namespace.clone(), name: "A".into(), ..Default::default() };
    let watch = |from_index| WatchAuditRecordsRequest { filter: Some(filter.clone()), from_index };
    let mut audit = room.root.audit();
    let mut stream = audit.watch_audit_records(watch(None)).await.unwrap().into_inner();
    let mut seen = Vec::new();
    for _ in 0..3 {
        room.get("A").await;
        let record = next(&mut stream).await;
        assert!(json(&record)["rpc"].as_str().unwrap().ends_with("/GetSecret"));
        seen.push(record.index);
    }
    drop(stream);
    room.update(describe("A", "d")).await;
    room.get("A").await;
    let mut stream = audit.watch_audit_records(watch(Some(seen[1] + 1))).await.unwrap().into_inner();
    assert_eq!(next(&mut stream).await.index, seen[2]);
    assert!(json(&next(&mut stream).await)["rpc"].as_str().unwrap().ends_with("/UpdateSecret"));
    assert!(json(&next(&mut stream).await)["rpc"].as_str().unwrap().ends_with("/GetSecret"));
    let future = watch(Some(u64::MAX));
    refused(audit.watch_audit_records(future).await, Code::InvalidArgument, "VALIDATION_FAILED");
}
