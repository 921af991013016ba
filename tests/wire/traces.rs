//! Traces over OTLP/gRPC: what a collector gets, and that no request waits for it.

pub mod collector;
mod otlp;

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use prost::bytes::Bytes;
use strongroom::api::v1::{AuditFilter, ListAuditRecordsRequest, WatchSecretsRequest};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};
use tonic::Code;
use uuid::Uuid;

use self::collector::{Collector, Manner};
use self::otlp::Span;
use crate::audit_log::settled;
use crate::caller::Caller;
use crate::credentials::authority::Authority;
#[cfg(feature = "etcd")]
use crate::etcd_server;
use crate::harness::{Launch, Server};
use crate::metrics::{page, sample};
use crate::raw::{Wire, framed};
use crate::refusal::refused;
use crate::requests::{create, get};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const GET: &str = "/strongroom.v1.SecretService/GetSecret";
const CREATE: &str = "/strongroom.v1.SecretService/CreateSecret";

fn launch(collector: &Collector) -> Launch {
    Launch::in_memory().argument("--otlp-endpoint").argument(collector.url())
}

/// A caller that sends this `traceparent`.
async fn tracing(server: &Server, flags: &str) -> Wire {
    Wire::as_root(server).await.header("traceparent", format!("00-{TRACE}-{PARENT}-{flags}"))
}

/// A caller that sends none.
async fn plain(server: &Server) -> Wire {
    Wire::as_root(server).await
}

/// The attributes of a request, without the id of the request, which must be one.
fn attributes(span: &Span) -> BTreeMap<String, String> {
    let mut attributes = span.attributes.clone();
    let id = attributes.remove("strongroom.request_id").expect("the id of the request");
    Uuid::parse_str(&id).expect("a UUID");
    attributes
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_span_joins_the_trace_of_its_caller() {
    let collector = Collector::start(Manner::Takes);
    let server = launch(&collector).start();
    let wire = tracing(&server, "01").await.header("tracestate", "congo=t61rcWkgMzE");
    wire.call(CREATE, &create("a", "v").encode_to_vec()).await.unwrap();
    server.stop().await;

    let [request] = collector.requests().try_into().unwrap();
    assert_eq!((request.trace.as_str(), request.parent.as_str()), (TRACE, PARENT));
    assert_eq!(request.state, "congo=t61rcWkgMzE");
    assert_eq!(request.name, "strongroom.v1.SecretService/CreateSecret");
    assert_eq!((request.status, request.flags), (0, 0x301), "sampled, and its parent is remote");
    assert!(request.id.len() == 16 && request.end > request.start, "{request:?}");
    let expected = [
        ("rpc.system", "grpc"),
        ("rpc.service", "strongroom.v1.SecretService"),
        ("rpc.method", "CreateSecret"),
        ("rpc.grpc.status_code", "0"),
    ];
    assert_eq!(attributes(&request), pairs(&expected));
    assert_eq!(request.resource["service.name"], "strongroom");
    assert!(request.resource.contains_key("service.version"), "{request:?}");
    assert!(request.resource.contains_key("service.instance.id"), "{request:?}");

    let steps: Vec<_> = collector.spans().into_iter().filter(|span| span.kind == otlp::INTERNAL).collect();
    for name in ["commit", "write the audit record"] {
        let step = steps.iter().find(|step| step.name == name).expect(name);
        assert_eq!((&step.trace, &step.parent), (&request.trace, &request.id));
        assert!(request.start <= step.start && step.start <= step.end && step.end <= request.end);
        assert!(step.id != request.id && step.attributes.is_empty(), "{step:?}");
    }
}

#[cfg(feature = "etcd")]
#[tokio::test]
async fn over_etcd_a_read_tells_how_long_it_asked_the_store() {
    let Some(etcd) = etcd_server::shared() else { return };
    let collector = Collector::start(Manner::Takes);
    let launch = Launch::in_etcd(&etcd.url(), &format!("{}/", Uuid::new_v4()));
    let server = launch.argument("--otlp-endpoint").argument(collector.url()).start();
    let message = get("no_such_name").encode_to_vec();
    refused(tracing(&server, "01").await.call(GET, &message).await, Code::NotFound, "SECRET_NOT_FOUND");
    server.stop().await;
    let [request] = collector.requests().try_into().unwrap();
    let asked = |span: &Span| span.name == "ask the store for its newest revision";
    assert!(collector.spans().iter().any(|span| asked(span) && span.parent == request.id));
}

#[tokio::test]
async fn a_caller_that_does_not_trace_has_no_spans_and_one_without_a_trace_begins_one() {
    let collector = Collector::start(Manner::Takes);
    let server = launch(&collector).start();
    let message = get("no_such_name").encode_to_vec();
    let missing =
        async |wire: Wire| refused(wire.call(GET, &message).await, Code::NotFound, "SECRET_NOT_FOUND");
    missing(tracing(&server, "00").await).await;
    missing(plain(&server).await.header("traceparent", "00-something-else")).await;
    missing(plain(&server).await).await;
    // Health and reflection have no spans.
    let health = plain(&server).await.call("/grpc.health.v1.Health/Check", &[]).await;
    health.unwrap();
    server.stop().await;

    let requests = collector.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    for request in &requests {
        assert_eq!((request.parent.as_str(), request.flags), ("", 0x101));
        assert_eq!(request.trace, request.attributes["strongroom.request_id"].replace('-', ""));
    }
    assert_ne!(requests[0].trace, requests[1].trace);
}

#[tokio::test]
async fn the_ratio_is_for_requests_without_a_trace() {
    let collector = Collector::start(Manner::Takes);
    let server = launch(&collector).argument("--otlp-sample-ratio").argument("0").start();
    let message = get("no_such_name").encode_to_vec();
    for wire in [plain(&server).await, tracing(&server, "01").await, plain(&server).await] {
        refused(wire.call(GET, &message).await, Code::NotFound, "SECRET_NOT_FOUND");
    }
    server.stop().await;
    let [request] = collector.requests().try_into().unwrap();
    assert_eq!(request.trace, TRACE);
}

#[tokio::test]
async fn an_error_has_its_code_and_its_reason_and_only_faults_have_the_status_error() {
    let collector = Collector::start(Manner::Takes);
    let server = launch(&collector).start();
    let wire = tracing(&server, "01").await;
    let missing = get("no_such_name").encode_to_vec();
    refused(wire.call(GET, &missing).await, Code::NotFound, "SECRET_NOT_FOUND");
    let stranger = Wire::to(&server).await;
    refused(stranger.call(GET, &missing).await, Code::Unauthenticated, "CREDENTIAL_MISSING");
    let unknown = wire.call("/strongroom.v1.SecretService/NoSuchRpc", &[]).await;
    refused(unknown, Code::Unimplemented, "NOT_SERVED");
    server.stop().await;

    let told = |span: &Span| {
        let code = span.attributes["rpc.grpc.status_code"].clone();
        (span.name.clone(), code, span.attributes["strongroom.reason"].clone(), span.status)
    };
    let get = &GET[1..];
    let expected = [
        (get, "5", "SECRET_NOT_FOUND", 0),
        (get, "16", "CREDENTIAL_MISSING", 0),
        ("unknown", "12", "NOT_SERVED", otlp::ERROR),
    ];
    let expected = expected
        .map(|(name, code, reason, status)| (name.to_owned(), code.to_owned(), reason.to_owned(), status));
    assert_eq!(collector.requests().iter().map(told).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn the_span_of_a_stream_ends_with_the_stream() {
    let collector = Collector::start(Manner::Takes);
    let server = launch(&collector).start();
    let wire = tracing(&server, "01").await;
    let watch = framed(&WatchSecretsRequest::default().encode_to_vec());
    let mut begun = wire.begin("/strongroom.v1.SecretService/WatchSecrets", watch).await;
    begun.body.send_data(Bytes::new(), true).unwrap();
    let stream = begun.begun().await.unwrap();
    refused(wire.call(GET, &get("none").encode_to_vec()).await, Code::NotFound, "SECRET_NOT_FOUND");
    server.stop().await;
    drop(stream);

    let requests = collector.requests();
    let names: Vec<_> = requests.iter().map(|span| span.attributes["rpc.method"].as_str()).collect();
    assert_eq!(names, ["GetSecret", "WatchSecrets"], "the watch ends with the server, and so last");
    assert_ne!(requests[1].attributes["rpc.grpc.status_code"], "0");
}

#[tokio::test]
async fn the_audit_record_of_a_request_names_its_trace_whether_it_is_traced_here_or_not() {
    let collector = Collector::start(Manner::Takes);
    let server = launch(&collector).start();
    let missing = get("no_such_name").encode_to_vec();
    for flags in ["01", "00"] {
        let wire = tracing(&server, flags).await;
        refused(wire.call(GET, &missing).await, Code::NotFound, "SECRET_NOT_FOUND");
    }
    let root = Caller::root(&server).await;
    settled(&root).await;
    let filter = AuditFilter { rpc: GET[1..].into(), ..Default::default() };
    let request = ListAuditRecordsRequest { filter: Some(filter), ..Default::default() };
    let records = root.audit().list_audit_records(request).await.unwrap();
    let lines = records.into_inner().items.into_iter().map(|record| String::from_utf8(record.line).unwrap());
    let named: Vec<_> = lines.filter(|line| line.contains(&format!("\"trace_id\":\"{TRACE}\""))).collect();
    assert_eq!(named.len(), 2, "{named:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_collector_that_never_answers_delays_no_request_and_not_the_end() {
    let collector = Collector::start(Manner::NeverAnswers);
    let server = launch(&collector).argument("--metrics-listen").argument("127.0.0.1:0").start();
    let root = Caller::root(&server).await;
    root.create("a", "v").await;
    for _ in 0..100 {
        root.get("a").await;
    }
    server.wait_for_logged(1, "spans cannot be sent to the collector");
    let page = page(&server.metrics_address()).await;
    let dropped = sample(&page, "strongroom_trace_spans_dropped_total{cause=\"not_sent\"}").unwrap();
    assert!(dropped >= 1.0, "{page}");
    assert_eq!(sample(&page, "strongroom_trace_spans_sent_total"), Some(0.0));
    root.get("a").await; // a span waits now
    let log = server.stop().await.stderr;
    assert!(log.contains("the last spans were not sent"), "{log}");
    assert!(!log.contains("requests were cut off"), "{log}");
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_the_spans_from_then_on() {
    let collector = Collector::start(Manner::IsAway);
    let server = launch(&collector).argument("--metrics-listen").argument("127.0.0.1:0").start();
    let root = Caller::root(&server).await;
    root.create("a", "v").await;
    server.wait_for_logged(1, "spans cannot be sent to the collector");
    collector.now(Manner::Fails);
    root.get("a").await;
    collector.now(Manner::Takes);
    while collector.spans().is_empty() {
        root.get("a").await;
    }
    server.wait_for_logged(1, "spans are sent to the collector again");
    collector.now(Manner::Rejects(1));
    loop {
        root.get("a").await;
        let page = page(&server.metrics_address()).await;
        let rejected = sample(&page, "strongroom_trace_spans_dropped_total{cause=\"rejected\"}");
        if rejected > Some(0.0) {
            break;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn nobody_listens_at_the_address_of_the_collector() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Launch::in_memory().argument("--otlp-endpoint").argument(format!("http://{free}")).start();
    let root = Caller::root(&server).await;
    root.create("a", "v").await;
    root.get("a").await;
    server.wait_for_logged(1, "spans cannot be sent to the collector");
    server.stop().await;
}

#[tokio::test]
async fn a_collector_behind_tls_is_verified_by_the_authorities_of_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ca = authority.write(&folder.path().join("ca.pem"));
    let (certificate, key) = authority.sign(Authority::server());
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let collector = Collector::behind(Some(TlsAcceptor::from(Arc::new(config))), Manner::Takes);
    let url = format!("https://localhost:{}", collector.port);
    let launch = || Launch::in_memory().variable("STRONGROOM_OTLP_ENDPOINT", url.as_str());

    let other = Authority::new().write(&folder.path().join("other.pem"));
    let server = launch().variable("SSL_CERT_FILE", other.to_str().unwrap()).start();
    Caller::root(&server).await.create("a", "v").await;
    server.wait_for_logged(1, "spans cannot be sent to the collector");
    server.stop().await;
    assert!(collector.spans().is_empty(), "a stranger got spans");

    let server = launch().variable("SSL_CERT_FILE", ca.to_str().unwrap()).start();
    Caller::root(&server).await.create("a", "v").await;
    server.stop().await;
    assert_eq!(collector.requests().len(), 1);
}

#[tokio::test]
async fn an_address_on_the_network_without_tls_is_warned_of() {
    const WARNING: &str = "traces are sent without encryption";
    let named = |url: &str| Launch::in_memory().argument("--otlp-endpoint").argument(url).start();
    // This address is for documents: nobody has it.
    let server = named("http://192.0.2.1:4317");
    server.wait_for_logged(1, WARNING);
    server.stop().await;
    for url in ["http://127.0.0.1:4317", "https://192.0.2.1:4317"] {
        let log = named(url).stop().await.stderr;
        assert!(log.contains("traces of requests are sent") && !log.contains(WARNING), "{log}");
    }
    let log = Launch::in_memory().start().stop().await.stderr;
    assert!(!log.contains("traces"), "{log}");
}

#[test]
fn an_address_that_is_none_is_refused_by_the_name_of_the_setting() {
    for wrong in ["127.0.0.1:4317", "http://user:hunter2@localhost", "grpc://localhost", "http://a b"] {
        let flag = Launch::in_memory().argument("--otlp-endpoint").argument(wrong);
        let variable = Launch::in_memory().variable("STRONGROOM_OTLP_ENDPOINT", wrong);
        for launch in [flag, variable] {
            let refused = launch.refused();
            assert_eq!(refused.code, Some(2), "{}", refused.all());
            assert!(refused.all().contains("--otlp-endpoint") && !refused.all().contains("hunter2"));
        }
    }
    let refused = Launch::in_memory().argument("--otlp-sample-ratio").argument("1.5").refused();
    assert!(refused.all().contains("--otlp-sample-ratio must be from 0 to 1"), "{}", refused.all());
}
