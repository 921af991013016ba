//! The answers of three replicas to many clients at once are those of one service that answers one request after the other. The
//! history of all requests and answers goes to porcupine, which looks for such an order.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value as Json, json};
use strongroom::api::v1::{
    CreateSecretRequest, DeleteSecretRequest, GetSecretRequest, ListSecretsRequest, RotateSecretRequest,
    UpdateSecretRequest,
};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::caller::{Caller, Credential};
use crate::etcd_server;
use crate::harness::Launch;
use crate::requests::{Value, create, delete, get, list, rename, rotate};

const CLIENTS: usize = 8;
const REQUESTS: usize = 60;
const NAMES: usize = 5;

/// A request of a client.
pub(super) struct Step {
    pub(super) kind: &'static str,
    pub(super) name: String,
    /// The value of a create or a rotation, the new name of a rename.
    pub(super) value: String,
    request_id: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answers_of_three_replicas_are_those_of_one_service() {
    let Some(etcd) = etcd_server::shared() else { return };
    let Some(checker) = checker() else { return };
    let prefix = Uuid::new_v4().to_string();
    let first = Launch::in_etcd(&etcd.url(), &prefix).start();
    let key = first.data_dir.join("master.key").display().to_string();
    let another =
        || Launch::in_etcd(&etcd.url(), &prefix).argument("--master-key-file").argument(&*key).start();
    let servers = [another(), another()];
    let root = Credential::bearer(&first.root_key);
    let mut replicas = vec![Caller::new(&first, root.clone()).await];
    for server in &servers {
        replicas.push(Caller::new(server, root.clone()).await);
    }
    let (replicas, begun) = (Arc::new(replicas), Instant::now());
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let replicas = replicas.clone();
        clients.spawn(async move {
            let mut history = Vec::new();
            for number in 0..REQUESTS {
                let step = Step::random(client, number);
                let [one, other] = [random(), random()].map(|at| replicas[at % replicas.len()].clone());
                let called = begun.elapsed().as_nanos();
                // Some changes go to two replicas at once: it is one request, and counts once.
                let (answer, refusal) = if random().is_multiple_of(3) && step.changes() {
                    let (here, there) = tokio::join!(step.answer(&one, ""), step.answer(&other, ""));
                    match (here.unwrap(), there.unwrap()) {
                        (made, also) if made == also => (made, None),
                        (made, refusal) | (refusal, made) if made == "ok" => (made, Some(refusal)),
                        (refused, _) => (refused, None),
                    }
                } else {
                    (step.answer(&one, "").await.unwrap(), None)
                };
                history.push(json!({
                    "client": client, "kind": step.kind, "name": step.name, "value": step.value, "answer": answer,
                    "called": u64::try_from(called).unwrap(),
                    "answered": u64::try_from(begun.elapsed().as_nanos()).unwrap(),
                    "refusal": refusal,
                }));
            }
            history
        });
    }
    let history: Vec<Json> = clients.join_all().await.into_iter().flatten().collect();
    let changed = count(&history, "ok");
    assert!(changed > CLIENTS * REQUESTS / 10, "only {changed} changes were made");

    no_success_is_refused(&history);
    check(&checker, &history);
}

/// Asserts that no replica refused what another one has made of the same request. A replica may refuse it before it is made, as
/// long as another client's change was the reason.
fn no_success_is_refused(history: &[Json]) {
    let split: Vec<_> = history.iter().filter(|one| !one["refusal"].is_null()).collect();
    let touches = |one: &Json, other: &Json| {
        [&other["name"], &other["value"]]
            .into_iter()
            .any(|name| [&one["name"], &one["value"]].contains(&name))
    };
    let overlaps = |one: &Json, other: &Json| {
        let at = |request: &Json, end: &str| request[end].as_u64().unwrap();
        at(one, "called") <= at(other, "answered") && at(other, "called") <= at(one, "answered")
    };
    for one in &split {
        let reason = history.iter().find(|other| {
            other["client"] != one["client"]
                && other["answer"] == "ok"
                && touches(one, other)
                && overlaps(one, other)
        });
        assert!(reason.is_some(), "one replica has made it, and the other one refused it: {one}");
    }
    let (made, refused) = (count(history, "ok"), count(history, "missing") + count(history, "exists"));
    let _ = writeln!(
        std::io::stderr(),
        "{} requests: {made} changes, {refused} refusals; {} changes were refused by one of two replicas before",
        history.len(),
        split.len()
    );
}

fn count(history: &[Json], answer: &str) -> usize {
    history.iter().filter(|one| one["answer"] == answer).count()
}

/// Asserts that the checker finds an order of the requests in which one service would give these answers.
pub(super) fn check(checker: &str, history: &[Json]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    serde_json::to_writer(&mut file, history).unwrap();
    file.flush().unwrap();
    let checked = Command::new(checker).arg(file.path()).output().unwrap();
    if !checked.status.success() {
        let (_, kept) = file.keep().unwrap();
        panic!("the history in {} is not linearizable: {checked:?}", kept.display());
    }
}

impl Step {
    pub(super) fn random(client: usize, number: usize) -> Self {
        let kind = ["create", "create", "rotate", "delete", "rename", "get", "get", "list"][random() % 8];
        let name = format!("n{}", random() % NAMES);
        let value = match kind {
            "rename" => format!("n{}", random() % NAMES),
            _ => format!("{client}.{number}"),
        };
        // A rename onto the same name is no rename.
        let kind = if kind == "rename" && name == value { "get" } else { kind };
        Self { kind, name, value, request_id: Uuid::new_v4().to_string() }
    }

    /// Whether it is a change, which has a request id.
    pub(super) fn changes(&self) -> bool {
        self.kind != "get" && self.kind != "list"
    }

    /// The answer of a replica in this namespace, as the checker reads it. An error that is not about the secrets says nothing.
    pub(super) async fn answer(&self, replica: &Caller, namespace: &str) -> Result<String, Status> {
        let (name, namespace, request_id) = (&*self.name, namespace.to_owned(), self.request_id.clone());
        let mut secrets = replica.secrets();
        let made = match self.kind {
            "create" => {
                let request = CreateSecretRequest { namespace, request_id, ..create(name, &self.value) };
                secrets.create_secret(request).await.map(drop)
            }
            "rotate" => {
                let request = RotateSecretRequest { namespace, request_id, ..rotate(name, &self.value) };
                secrets.rotate_secret(request).await.map(drop)
            }
            "delete" => {
                let request = DeleteSecretRequest { namespace, request_id, ..delete(name) };
                secrets.delete_secret(request).await.map(drop)
            }
            "rename" => {
                let request = UpdateSecretRequest { namespace, request_id, ..rename(name, &self.value) };
                secrets.update_secret(request).await.map(drop)
            }
            "get" => match secrets.get_secret(GetSecretRequest { namespace, ..get(name) }).await {
                Ok(found) => match Value::of(&found.into_inner().secret.unwrap()) {
                    Value::Text(value) => return Ok(format!("value {value}")),
                    other => panic!("{other:?}"),
                },
                Err(status) => Err(status),
            },
            "list" => {
                let listed = secrets.list_secrets(ListSecretsRequest { namespace, ..list() }).await?;
                let names: BTreeSet<_> =
                    listed.into_inner().items.into_iter().map(|secret| secret.name).collect();
                return Ok(names.into_iter().collect::<Vec<_>>().join(" "));
            }
            other => panic!("{other}"),
        };
        match made {
            Ok(()) => Ok("ok".to_owned()),
            Err(status) if status.code() == Code::NotFound => Ok("missing".to_owned()),
            Err(status) if status.code() == Code::AlreadyExists => Ok("exists".to_owned()),
            Err(status) => Err(status),
        }
    }
}

pub(super) fn random() -> usize {
    // The low bits of a random UUID are random.
    usize::try_from(Uuid::new_v4().as_u128() & u128::from(u32::MAX)).unwrap()
}

/// The path of the checker. `None` where there is no Go to build it: then continuous integration fails, and elsewhere a note says
/// that the test is skipped.
pub(super) fn checker() -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/porcupine.sh");
    let built = Command::new("bash").arg(script).output().unwrap();
    if built.status.success() {
        return Some(String::from_utf8(built.stdout).unwrap().trim().to_owned());
    }
    let why = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(std::env::var_os("CI").is_none(), "porcupine is not available:\n{why}");
    let said = format!("\nSKIPPED: the history of three replicas is not checked: {why}\n");
    let _ = std::io::stderr().write_all(said.as_bytes());
    None
}
