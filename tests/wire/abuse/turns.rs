//! Work for which callers take turns: a caller with one request does not wait for the many of another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use strongroom::api::v1::{ResolveReferencesRequest, RotateSecretRequest};
use tokio::task::JoinSet;

use super::beside::{BOUND, beside, key, peak, resident};
use super::site::Site;
use crate::caller::Caller;
use crate::harness::{Launch, PATIENCE, Server};
use crate::references::wire_map;
use crate::refusal::reason_of;
use crate::requests::{create, rotate};

/// How many requests of the abuser are under way in the following tests: more than the processors do at a time, and fewer than are
/// refused.
const AT_ONCE: usize = 60;
/// How many requests the good client makes there.
const FEW: usize = 21;

/// Has an abuser make its requests again and again, and a good client a few. Gives how many of the abuser's were answered while the good
/// client waited for one, in the middle of all its requests.
async fn answered_meanwhile<F>(abuse: impl Fn() -> F + Clone + Send + 'static, good: impl AsyncFn()) -> usize
where
    F: Future<Output = bool> + Send + 'static,
{
    let answered = Arc::new(AtomicUsize::new(0));
    let mut abusers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (abuse, answered) = (abuse.clone(), answered.clone());
        abusers.spawn(async move {
            loop {
                answered.fetch_add(usize::from(abuse().await), Ordering::Relaxed);
            }
        });
    }
    // Then all of them wait in their line.
    while answered.load(Ordering::Relaxed) < AT_ONCE {
        good().await;
    }
    let mut meanwhile = Vec::new();
    for _ in 0..FEW {
        let before = answered.load(Ordering::Relaxed);
        good().await;
        meanwhile.push(answered.load(Ordering::Relaxed) - before);
    }
    meanwhile.sort_unstable();
    println!("of the abuser's requests, so many were answered during one of the good client: {meanwhile:?}");
    meanwhile[FEW / 2]
}

#[tokio::test]
async fn a_document_does_not_wait_for_all_documents_of_another_caller() {
    let site = Site::with("").await;
    let fields = (0..200).map(|n| (format!("f{n}"), json!("$ secrets.A.upper().lower().strip()")));
    let document = wire_map(serde_json::Value::Object(fields.collect()));
    let request = ResolveReferencesRequest { document: Some(document), ..Default::default() };
    let abuser = site.abuser.clone();
    let abuse = move || {
        let (mut references, request) = (abuser.references(), request.clone());
        async move { references.resolve_references(request).await.is_ok() }
    };
    let good = async || {
        let document = Some(wire_map(json!({ "value": "$ secrets.B" })));
        let request = ResolveReferencesRequest { document, ..Default::default() };
        site.other.references().resolve_references(request).await.unwrap();
    };
    let meanwhile = answered_meanwhile(abuse, good).await;
    assert!(meanwhile < AT_ONCE / 2, "a line for all callers: {meanwhile}");
}

#[tokio::test]
async fn a_change_does_not_wait_for_all_changes_of_another_caller() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::of(Launch::durable(folder.path())).await;
    let abuser = site.abuser.clone();
    let abuse = move || {
        let mut secrets = abuser.secrets();
        async move { secrets.rotate_secret(rotate("A", "v")).await.is_ok() }
    };
    // Changes of one secret are made one after the other.
    let request = RotateSecretRequest { namespace: "abuser".into(), ..rotate("A", "w") };
    let good = async || drop(site.root.secrets().rotate_secret(request.clone()).await.unwrap());
    let meanwhile = answered_meanwhile(abuse, good).await;
    assert!(meanwhile < AT_ONCE / 2, "a line for all callers: {meanwhile}");
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
