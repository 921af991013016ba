//! The names in the audit log, and the log on standard error, as the settings say.

use std::fs;
use std::path::PathBuf;

use strongroom::api::v1::{
    AuditFilter, AuditName, BatchGetSecretsRequest, CreateApiKeyRequest, CreateBindingRequest,
    FindAuditNamesRequest, FindAuditNamesResponse, RevokeApiKeyRequest, WatchAuditRecordsRequest,
};
use tokio::time::timeout;
use tonic::Code;

use super::{folder, json, next, records, settled};
use crate::caller::{Caller, Credential, Room};
use crate::harness::{Launch, PATIENCE, Server};
use crate::refusal::{denied, invalid, refused};
use crate::requests::{get, rename};

/// Everything that the files of the log hold.
fn files(server: &Server) -> String {
    let files = fs::read_dir(folder(server)).unwrap().map(|file| file.unwrap().path());
    files
        .filter(|path: &PathBuf| path.is_file())
        .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned())
        .collect()
}

async fn find(caller: &Caller, fingerprint: &str) -> FindAuditNamesResponse {
    let request = FindAuditNamesRequest { fingerprint: fingerprint.into() };
    caller.audit().find_audit_names(request).await.unwrap().into_inner()
}

fn name(namespace: &str, name: &str) -> AuditName {
    AuditName { namespace: namespace.into(), name: name.into() }
}

#[tokio::test]
async fn fingerprints_take_the_place_of_names_and_the_server_tells_whose_they_are() {
    let server = Launch::in_memory().configured("[audit]\nnames = 'fingerprint'\n").start();
    let room = Room::on(&server).await;
    room.create("quiet_name", "v").await;
    room.get("quiet_name").await;
    room.update(rename("quiet_name", "other_name")).await;
    room.create("second_name", "v").await;
    let names = ["second_name", "absent_name"].map(str::to_owned).to_vec();
    room.secrets().batch_get_secrets(BatchGetSecretsRequest { names, ..Default::default() }).await.unwrap();

    // Filters find records by the names that they do not show.
    let filter = AuditFilter {
        namespace: room.namespace.clone(),
        name: "quiet_name".into(),
        rpc: "UpdateSecret".into(),
        ..Default::default()
    };
    let found = records(&room.root, filter).await;
    let [renamed] = found.as_slice() else { panic!("{found:?}") };
    let line = json(renamed);
    let text = |field: &str| line[field].as_str().unwrap().to_owned();
    let (namespace, former, new) = (text("namespace"), text("name"), text("subject"));
    let by_fingerprint =
        AuditFilter { namespace: namespace.clone(), name: former.clone(), ..Default::default() };
    assert_eq!(records(&room.root, by_fingerprint).await.len(), 3);
    let batch =
        AuditFilter { name: "second_name".into(), rpc: "BatchGetSecrets".into(), ..Default::default() };
    assert_eq!(records(&room.root, batch).await.len(), 1);

    assert_eq!(find(&room.root, &new).await.secrets, [name(&room.namespace, "other_name")]);
    assert_eq!(find(&room.root, &namespace).await.namespaces, std::slice::from_ref(&room.namespace));
    assert_eq!(find(&room.root, &former).await, FindAuditNamesResponse::default(), "it is gone");
    // A name has the same fingerprint in each namespace, and the namespace of that name has another.
    let twin = format!("{}/twin", room.namespace);
    let (_, other) = room.root.make_key("twin", &twin).await;
    other.create("other_name", "v").await;
    let both = find(&room.root, &new).await.secrets;
    assert_eq!(both.len(), 2);

    // An auditor sees the names that it may list.
    let request = CreateApiKeyRequest {
        name: "auditor".into(),
        home_namespace: room.namespace.clone(),
        role: "none".into(),
        ..Default::default()
    };
    let made = room.root.access().create_api_key(request).await.unwrap().into_inner();
    let auditor = room.root.with(Credential::bearer(&made.credential));
    let principal = format!("key:{}", made.api_key.unwrap().id);
    let request = FindAuditNamesRequest { fingerprint: new.clone() };
    denied(auditor.audit().find_audit_names(request).await);
    let bind = |role: &str, namespaces: &str, names: &str| CreateBindingRequest {
        principal: principal.clone(),
        role: role.into(),
        namespace_pattern: namespaces.into(),
        name_pattern: names.into(),
        ..Default::default()
    };
    room.root.access().create_binding(bind("auditor", "**", "*")).await.unwrap();
    assert_eq!(find(&auditor, &new).await, FindAuditNamesResponse::default());
    room.root.access().create_binding(bind("viewer", &twin, "other_*")).await.unwrap();
    assert_eq!(find(&auditor, &new).await.secrets, [name(&twin, "other_name")]);
    room.root.access().create_binding(bind("viewer", &format!("{twin}/**"), "other_name")).await.unwrap();
    let filter = AuditFilter { rpc: "CreateBinding".into(), ..Default::default() };
    let accesses: Vec<_> =
        records(&room.root, filter).await.iter().map(|line| json(line)["access"].clone()).collect();
    let [everywhere, pattern, whole] = &accesses[..] else { panic!("{accesses:?}") };
    assert_eq!((&everywhere["namespaces"], &everywhere["names"]), (&"**".into(), &"*".into()));
    assert_eq!((pattern["principal"].as_str(), &pattern["names"]), (Some(&*principal), &"fp:*".into()));
    let below = format!("{}/**", pattern["namespaces"].as_str().unwrap());
    assert_eq!((&whole["namespaces"], &whole["names"]), (&below.into(), &new.as_str().into()));
    for fingerprint in ["", "other_name", "fp:12", "fp:0123456789ABCDEF"] {
        let request = FindAuditNamesRequest { fingerprint: fingerprint.into() };
        invalid(room.root.audit().find_audit_names(request).await, &["fingerprint"]);
    }

    settled(&room.root).await;
    let kept = files(&server);
    let output = server.stop().await;
    for hidden in ["quiet_name", "other_name", "second_name", "absent_name", "other_", &room.namespace] {
        assert!(!kept.contains(hidden), "the files hold {hidden}");
        assert!(!output.all().contains(hidden), "the log of the process holds {hidden}");
    }
    assert!(kept.contains(&former) && kept.contains(&new) && kept.contains(&namespace));
}

#[tokio::test]
async fn records_stay_away_from_standard_error_where_the_settings_say_so() {
    for (setting, expected) in [("off", false), ("json", true)] {
        let server = Launch::in_memory().configured(&format!("[audit]\nstderr = '{setting}'\n")).start();
        let room = Room::on(&server).await;
        room.create("A", "v").await;
        assert_eq!(
            records(&room.root, AuditFilter { name: "A".into(), ..Default::default() }).await.len(),
            1
        );
        let stderr = server.stop().await.stderr;
        let told =
            stderr.lines().filter(|line| line.contains("SecretService/CreateSecret")).collect::<Vec<_>>();
        assert_eq!(!told.is_empty(), expected, "{stderr}");
        for line in told {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line.is_object(), "{line}");
        }
    }
}

#[tokio::test]
async fn a_watch_of_the_log_ends_with_the_key_of_its_caller() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.create("A", "v").await;
    let (key, auditor) = room.root.make_key("auditor", &room.namespace).await;
    let request = CreateBindingRequest {
        principal: format!("key:{}", key.id),
        role: "auditor".into(),
        namespace_pattern: "**".into(),
        ..Default::default()
    };
    room.root.access().create_binding(request).await.unwrap();
    let filter = AuditFilter { namespace: room.namespace.clone(), name: "A".into(), ..Default::default() };
    let request = WatchAuditRecordsRequest { filter: Some(filter), from_index: None };
    let mut stream = auditor.audit().watch_audit_records(request).await.unwrap().into_inner();
    room.caller.secrets().get_secret(get("A")).await.unwrap();
    next(&mut stream).await;
    room.root.access().revoke_api_key(RevokeApiKeyRequest { id: key.id }).await.unwrap();
    // Records from before can come first.
    let ended = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                ended => return ended,
            }
        }
    };
    let ended = timeout(PATIENCE, ended).await.expect("the stream ends");
    refused(ended.map(tonic::Response::new), Code::Unauthenticated, "CREDENTIAL_INVALID");
    server.stop().await;
}
