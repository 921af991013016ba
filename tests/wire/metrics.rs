//! Metrics, liveness and readiness over HTTP.

use std::collections::{BTreeMap, BTreeSet};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use crate::caller::Caller;
use crate::harness::{Launch, Server};
use crate::raw::Wire;
use crate::refusal::refused;
use crate::requests::get as get_request;

/// A server that serves metrics.
pub fn measured(launch: Launch) -> Launch {
    launch.argument("--metrics-listen").argument("127.0.0.1:0")
}

/// Sends a request, and returns the status and the body of the answer.
async fn ask(address: &str, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// What `GET` of a path answers.
pub async fn get(address: &str, path: &str) -> (u16, String) {
    ask(address, "GET", path).await
}

/// The metrics.
pub async fn page(address: &str) -> String {
    let (status, text) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    text
}

/// The number of a sample; `None` where there is none.
pub fn sample(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The types of all metrics by their names.
fn types(page: &str) -> BTreeMap<&str, &str> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.collect()
}

#[tokio::test]
async fn requests_commits_and_secrets_are_counted() {
    let server = measured(Launch::in_memory()).start();
    let root = Caller::root(&server).await;
    for name in ["a", "b"] {
        root.create(name, "a-value-that-no-label-has").await;
    }
    root.value("a").await;
    refused(root.secrets().get_secret(get_request("no_such_name")).await, Code::NotFound, "SECRET_NOT_FOUND");
    let stranger = Wire::to(&server).await;
    for path in ["/strongroom.v1.SecretService/GetSecret", "/made.up.Service/WithASecretInItsName"] {
        refused(stranger.call(path, &[]).await, Code::Unauthenticated, "CREDENTIAL_MISSING");
    }
    let page = page(&server.metrics_address()).await;
    let is = |name: &str, value: f64| assert_eq!(sample(&page, name), Some(value), "{name}:\n{page}");
    let requests =
        |rpc: &str, code: &str| format!("strongroom_requests_total{{rpc=\"{rpc}\",code=\"{code}\"}}");
    let get = "strongroom.v1.SecretService/GetSecret";
    is(&requests("strongroom.v1.SecretService/CreateSecret", "OK"), 2.0);
    is(&requests(get, "OK"), 1.0);
    is(&requests(get, "NOT_FOUND"), 1.0);
    is(&requests(get, "UNAUTHENTICATED"), 1.0);
    is(&requests("unknown", "UNAUTHENTICATED"), 1.0);
    is(&format!("strongroom_request_duration_seconds_count{{rpc=\"{get}\"}}"), 3.0);
    is("strongroom_secrets", 2.0);
    is("strongroom_api_keys", 1.0);
    is("strongroom_ready", 1.0);
    is("strongroom_audit_log_writable", 1.0);
    is("strongroom_rotations_due", 0.0);
    is("strongroom_limit_bound{limit=\"requests\"}", 2048.0);
    assert!(sample(&page, "strongroom_commit_batch_size_count").unwrap() >= 2.0, "{page}");
    assert!(sample(&page, "strongroom_process_resident_memory_bytes").unwrap() > 1e6, "{page}");
    for hidden in ["a-value-that-no-label-has", "no_such_name", "made.up", "WithASecret", &server.root_key] {
        assert!(!page.contains(hidden), "the metrics tell {hidden}:\n{page}");
    }
    server.stop().await;
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_and_a_server_without_the_setting_serves_none() {
    let server = measured(Launch::in_memory()).start();
    let address = server.metrics_address();
    assert_eq!(get(&address, "/").await.0, 404);
    assert_eq!(get(&address, "/metrics/x").await.0, 404);
    assert_eq!(ask(&address, "POST", "/metrics").await.0, 405);
    assert_eq!(ask(&address, "HEAD", "/metrics").await, (200, String::new()));
    assert!(!server.logged().contains("without encryption"), "{}", server.logged());
    server.stop().await;
    let server = Launch::in_memory().start();
    assert!(!server.logged().contains("/livez"), "{}", server.logged());
    server.stop().await;
}

#[tokio::test]
async fn connections_that_send_nothing_keep_no_probe_away() {
    let server = measured(Launch::in_memory()).start();
    let address = server.metrics_address();
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    // The address takes connections in their order, so the idle ones are there before this one.
    assert_eq!(get(&address, "/livez").await.0, 200);
    assert_eq!(get(&address, "/metrics").await.0, 200);
    // The oldest connection has made room: it has ended, and not after its time.
    assert_eq!(idle[0].read(&mut [0; 16]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_public_address_for_metrics_is_warned_of() {
    let server = Launch::in_memory().argument("--metrics-listen").argument("0.0.0.0:0").start();
    server.wait_for_logged(1, "metrics are served without encryption and without a credential");
    server.stop().await;
}

#[tokio::test]
async fn an_address_for_metrics_that_is_taken_is_refused() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = Launch::in_memory().argument("--metrics-listen").argument(&address).refused();
    assert!(said.all().contains(&address), "the refusal does not name the address:\n{}", said.all());
}

/// A server that has something to tell in every metric.
async fn busy() -> Server {
    let server = measured(Launch::in_memory()).start();
    let root = Caller::root(&server).await;
    root.create("a", "v").await;
    server
}

#[tokio::test]
async fn the_table_of_the_documents_has_every_metric_and_no_other() {
    let server = busy().await;
    let page = page(&server.metrics_address()).await;
    let document = std::fs::read_to_string("docs/metrics.md").unwrap();
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `strongroom_"));
    let documented: BTreeMap<_, _> = rows
        .map(|row| {
            let mut cells = row.split('|').map(str::trim);
            let name = cells.next().unwrap().trim_end_matches('`');
            (format!("strongroom_{name}"), cells.next().unwrap())
        })
        .collect();
    let served: BTreeMap<_, _> =
        types(&page).into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    assert_eq!(documented, served);
    for (name, help) in page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')) {
        assert!(help.len() > 5, "{name} has no help");
    }
    server.stop().await;
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let inside = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(inside).filter(|word| word.starts_with("strongroom_")).collect()
}

#[tokio::test]
async fn every_metric_of_the_alerts_and_the_dashboard_exists() {
    let server = busy().await;
    let page = page(&server.metrics_address()).await;
    let types = types(&page);
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (name, kind) in &types {
        known.insert((*name).to_owned());
        if *kind == "histogram" {
            known.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
        }
    }
    for file in ["deploy/prometheus/alerts.yml", "deploy/grafana/dashboard.json"] {
        let text = std::fs::read_to_string(file).unwrap();
        let used = names(&text);
        assert!(used.len() > 5, "{file} names {used:?}");
        for name in used {
            assert!(known.contains(name), "{file} names {name}, which is not served");
        }
    }
    server.stop().await;
}

/// The anchor of a heading, as the page's links name it.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

#[test]
fn every_alert_says_what_it_means_and_links_to_a_section_that_says_what_to_do() {
    let document = std::fs::read_to_string("docs/metrics.md").unwrap();
    let headings = document.lines().filter_map(|line| line.strip_prefix("### ")).map(anchor);
    let sections: BTreeSet<_> = headings.collect();
    let alerts = std::fs::read_to_string("deploy/prometheus/alerts.yml").unwrap();
    let mut linked = BTreeSet::new();
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        for field in ["expr:", "severity:", "summary:", "description:"] {
            assert!(alert.contains(field), "{name} has no {field}");
        }
        let (_, link) = alert.split_once("runbook_url: docs/metrics.md#").expect(name);
        let section = link.lines().next().unwrap();
        assert!(sections.contains(section), "{name} links to {section}, which is not there");
        linked.insert(section.to_owned());
    }
    assert_eq!(linked, sections, "a section that no alert links to");
}
