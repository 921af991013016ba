//! References in documents: the result is the JSON that a person would write by hand, with all values of one moment. A
//! document is resolved whole or not at all.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as Wire};
use serde_json::{Value as Json, json};
use strongroom::api::v1::{
    DeleteSecretRequest, ResolveReferencesRequest, ResolveReferencesResponse, SecretValue, secret_value,
};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::caller::{Caller, Room};
use crate::harness::Server;
use crate::refusal::{denied, fields_of, refused};
use crate::requests::create;

fn request(document: Json) -> ResolveReferencesRequest {
    ResolveReferencesRequest { document: Some(wire_map(document)), ..Default::default() }
}

async fn try_resolve(
    caller: &Caller,
    request: ResolveReferencesRequest,
) -> Result<ResolveReferencesResponse, Status> {
    caller.references().resolve_references(request).await.map(tonic::Response::into_inner)
}

async fn resolved(caller: &Caller, request: ResolveReferencesRequest) -> Json {
    let reply = try_resolve(caller, request).await.unwrap();
    json_map(reply.document.expect("a reply has the document"))
}

/// The refusal of a document that has only this expression.
async fn refusal(caller: &Caller, expression: &str) -> Status {
    let document = json!({"steps": [{"expression": expression}]});
    let status = try_resolve(caller, request(document)).await.expect_err(expression);
    assert_eq!(
        fields_of(&status).into_iter().collect::<Vec<_>>(),
        ["document/steps/0/expression"],
        "{expression}"
    );
    status
}

#[tokio::test]
async fn a_steps_secret_name_becomes_its_credential() {
    let room = Room::open().await;
    room.create("openai_api_key", "sk-1").await;
    let document = json!({"steps": [{
        "kind": "tool_call",
        "tool": "openai",
        "operation": "chat",
        "arguments": {
            "model": "gpt-4",
            "messages": [{"role": "user", "content": "What's the weather like?"}],
        },
        "secret_name": "openai_api_key",
    }]});
    let reply = try_resolve(&room, request(document.clone())).await.unwrap();
    assert_eq!(json_map(reply.document.unwrap()), document, "the document is unchanged");
    let [credential] = reply.credentials.as_slice() else { panic!("one credential") };
    let value = SecretValue { kind: Some(secret_value::Kind::Text("sk-1".into())) };
    assert_eq!((&*credential.path, &*credential.secret_name), ("/steps/0", "openai_api_key"));
    assert!(credential.value == Some(value));
    let [reference] = reply.references.as_slice() else { panic!("one reference") };
    assert_eq!((&*reference.name, reference.exists, reference.readable), ("openai_api_key", true, true));
    assert_eq!(reference.paths, ["/steps/0/secret_name"]);
    assert!(reply.revision > 0);
}

#[tokio::test]
async fn an_f_string_joins_a_secret_and_the_input() {
    let room = Room::open().await;
    room.create("api_key", "k-1").await;
    let url = |input: &str| {
        json!({"steps": [{
            "kind": "transform",
            "expression": format!("$ f'https://api.example.com/v1?api_key={{secrets.api_key}}&query={{{input}}}'"),
            "input": "search query",
            "output": "api_url",
        }]})
    };
    for input in ["input", "_"] {
        let inputs = Some(wire_map(json!({"input": "rust grpc"})));
        let document = resolved(&room, ResolveReferencesRequest { inputs, ..request(url(input)) }).await;
        let step = &document["steps"][0];
        assert_eq!(step["expression"], "https://api.example.com/v1?api_key=k-1&query=rust grpc");
        assert_eq!((&step["input"], &step["output"]), (&json!("search query"), &json!("api_url")));
    }
}

#[tokio::test]
async fn many_secrets_are_resolved_where_they_stand() {
    let room = Room::open().await;
    for name in ["db_host", "db_username", "db_password", "db_name"] {
        room.create(name, &format!("the {name}")).await;
    }
    let document = json!({"steps": [{
        "kind": "tool_call",
        "tool": "database",
        "operation": "query",
        "arguments": {
            "query": "SELECT * FROM users",
            "connection": {
                "host": "$ secrets.db_host",
                "user": "$ secrets.db_username",
                "password": "$ secrets.db_password",
                "database": "$ secrets.db_name",
            },
        },
    }]});
    let arguments = resolved(&room, request(document)).await["steps"][0]["arguments"].take();
    let connection = json!({
        "host": "the db_host",
        "user": "the db_username",
        "password": "the db_password",
        "database": "the db_name",
    });
    assert_eq!(arguments, json!({"query": "SELECT * FROM users", "connection": connection}));
}

#[tokio::test]
async fn text_that_is_no_expression_stays_as_it_is() {
    let room = Room::open().await;
    let document = json!({
        "$ secrets.a": "a key is none",
        "plain": "{braces} $secrets.x ${secrets.x} {{ secrets.x }} $",
        "numbers": [0, -1, 1.5, 1e300, 9007199254740992.0],
        "rest": [null, true, false, "", {}, []],
    });
    assert_eq!(resolved(&room, request(document.clone())).await, document);
    assert_eq!(resolved(&room, ResolveReferencesRequest::default()).await, json!({}));
}

#[tokio::test]
async fn a_value_that_looks_like_a_reference_is_not_expanded_again() {
    let room = Room::open().await;
    room.create("outer", "$ secrets.inner").await;
    room.create("inner", "never").await;
    let document = json!({"a": "$ secrets.outer", "b": "$ f'$ {secrets.outer}'", "c": "$ '{secrets.inner}'"});
    let expected = json!({"a": "$ secrets.inner", "b": "$ $ secrets.inner", "c": "{secrets.inner}"});
    assert_eq!(resolved(&room, request(document)).await, expected);
}

#[tokio::test]
async fn a_secret_may_have_any_legal_name() {
    let room = Room::open().await;
    for name in ["items", "get", "format", "__class__", "_", "keys"] {
        room.create(name, name).await;
        let document = json!({"a": format!("$ secrets.{name}"), "b": format!("$ secrets['{name}']")});
        assert_eq!(resolved(&room, request(document)).await, json!({"a": name, "b": name}));
    }
    let document =
        json!({"a": "$ secrets.get('absent', 'default')", "b": "$ secrets.get('items', 'default')"});
    assert_eq!(resolved(&room, request(document)).await, json!({"a": "default", "b": "items"}));
}

#[tokio::test]
async fn a_missing_secret_is_named_with_its_place_and_nothing_is_returned() {
    let room = Room::open().await;
    room.create("there", "canary-value").await;
    let document = json!({"a": "$ secrets.there", "b/c": [{"~": "$ 'x' + secrets.absent"}]});
    let reply = try_resolve(&room, request(document)).await.map(tonic::Response::new);
    let status = refused(reply, Code::NotFound, "SECRET_NOT_FOUND");
    assert_eq!(fields_of(&status).into_iter().collect::<Vec<_>>(), ["document/b~1c/0/~0"]);
    let resource = status.get_details_resource_info().unwrap();
    assert_eq!(resource.resource_name, format!("{}/absent", room.namespace));
    assert!(status.message().contains("absent"));
    let told = format!("{status:?}{}", String::from_utf8_lossy(status.details()));
    assert!(!told.contains("canary-value"), "{told}");

    let step = json!({"steps": [{"tool": "x", "secret_name": "absent"}]});
    let reply = try_resolve(&room, request(step)).await.map(tonic::Response::new);
    let status = refused(reply, Code::NotFound, "SECRET_NOT_FOUND");
    assert_eq!(fields_of(&status).into_iter().collect::<Vec<_>>(), ["document/steps/0/secret_name"]);
}

#[tokio::test]
async fn an_expression_outside_the_language_is_refused_with_its_place() {
    let room = Room::open().await;
    room.create("x", "canary-value").await;
    for expression in [
        "$ secrets",
        "$ [secrets]",
        "$ lambda: 1",
        "$ [x for x in 'abc']",
        "$ (x := 1)",
        "$ secrets.x.__class__",
        "$ ''.format(secrets.x)",
        "$ open('/etc/passwd')",
        "$ __import__('os')",
        "$ secrets[input]",
        "$ nothing",
        "$ secrets.x + 1",
        "$ 1 +",
        "$ ",
    ] {
        let status = refusal(&room, expression).await;
        let status = refused::<()>(Err(status), Code::InvalidArgument, "REFERENCE_INVALID");
        let told = format!("{}{}", status.message(), String::from_utf8_lossy(status.details()));
        assert!(!told.contains("canary-value"), "{told}");
    }
}

#[tokio::test]
async fn an_expression_that_costs_too_much_is_refused_while_others_are_served() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.create("x", &"v".repeat(65_536)).await;
    let repeated = "secrets.x + ".repeat(40) + "''";
    for expression in [
        format!("$ '{}'", "a".repeat(900_000)),
        format!("$ {}1{}", "(".repeat(5000), ")".repeat(5000)),
        format!("$ {}1", "not ".repeat(4000)),
        "$ '%1000000000s' % 'a'".to_owned(),
        "$ f'{\"a\":>999999999}'".to_owned(),
        format!("$ {repeated}"),
    ] {
        let status = refusal(&room, &expression).await;
        refused::<()>(Err(status), Code::InvalidArgument, "REFERENCE_TOO_COSTLY");
    }
    let named: Vec<_> = (0..1001).map(|n| format!("$ 1 or secrets.s{n}")).collect();
    let status = try_resolve(&room, request(json!({"named": named}))).await.map(tonic::Response::new);
    refused(status, Code::InvalidArgument, "REFERENCE_TOO_COSTLY");
    let many: Vec<_> = (0..200).map(|_| "$ secrets.x").collect();
    let status = try_resolve(&room, request(json!({"many": many}))).await.map(tonic::Response::new);
    refused(status, Code::InvalidArgument, "REFERENCE_TOO_COSTLY");
    assert_eq!(resolved(&room, request(json!({"a": "$ len(secrets.x)"}))).await, json!({"a": 65_536}));
}

#[tokio::test]
async fn many_problems_at_long_places_still_fit_into_a_refusal() {
    let room = Room::open().await;
    let places: Vec<_> = (0..20).map(|_| "$ 1 +").collect();
    let status =
        try_resolve(&room, request(json!({"ž".repeat(240): places}))).await.expect_err("no expressions");
    assert!(!fields_of(&status).is_empty());
    // Base64 and percent-encoding enlarge the refusal. Every client takes 8 KiB.
    assert!(status.details().len() * 4 / 3 + status.message().len() * 3 < 8192, "{}", status.details().len());
    refused::<()>(Err(status), Code::InvalidArgument, "REFERENCE_INVALID");
}

#[tokio::test]
async fn documents_are_32_deep_at_most_and_every_reply_can_be_decoded() {
    let room = Room::open().await;
    let nested = |levels: usize, inner: Json| (0..levels).fold(inner, |inner, _| json!({"a": inner}));
    let deepest = nested(32, json!(1));
    assert_eq!(resolved(&room, request(deepest.clone())).await, deepest);
    let status = try_resolve(&room, request(nested(33, json!(1)))).await.map(tonic::Response::new);
    refused(status, Code::InvalidArgument, "REFERENCE_TOO_COSTLY");
    // The result of an expression counts too.
    let inputs = Some(wire_map(json!({"input": nested(20, json!(1))})));
    let at = |levels| ResolveReferencesRequest {
        inputs: inputs.clone(),
        ..request(nested(levels, json!("$ input")))
    };
    assert_eq!(resolved(&room, at(12)).await, deepest);
    let status = try_resolve(&room, at(13)).await.map(tonic::Response::new);
    refused(status, Code::InvalidArgument, "REFERENCE_TOO_COSTLY");
}

#[tokio::test]
async fn a_binary_secret_is_resolved_as_base64() {
    let room = Room::open().await;
    let binary = SecretValue { kind: Some(secret_value::Kind::Binary(vec![0, 255, 1])) };
    room.create_with(strongroom::api::v1::CreateSecretRequest {
        value: Some(binary.clone()),
        ..create("key", "")
    })
    .await;
    assert_eq!(resolved(&room, request(json!({"a": "$ base64(secrets.key)"}))).await, json!({"a": "AP8B"}));
    let reply = try_resolve(&room, request(json!({"tool": "t", "secret_name": "key"}))).await.unwrap();
    assert!(reply.credentials[0].value == Some(binary), "a credential is the value as it was given");
    let status = refusal(&room, "$ secrets.key").await;
    refused::<()>(Err(status), Code::InvalidArgument, "REFERENCE_INVALID");
}

#[tokio::test]
async fn validate_only_tells_which_secrets_exist_and_reads_no_value() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    room.create("there", "v").await;
    let document =
        json!({"a": "$ secrets.there + secrets.absent", "steps": [{"tool": "t", "secret_name": "there"}]});
    let dry = ResolveReferencesRequest { validate_only: true, ..request(document) };
    let reply = try_resolve(&room, dry).await.unwrap();
    assert!(reply.document.is_none() && reply.credentials.is_empty());
    let told: Vec<_> = reply.references.iter().map(|r| (&*r.name, r.exists, r.readable)).collect();
    assert_eq!(told, [("absent", false, false), ("there", true, true)]);
    assert_eq!(reply.references[1].paths, ["/a", "/steps/0/secret_name"]);
    let broken = ResolveReferencesRequest { validate_only: true, ..request(json!({"a": "$ 1 +"})) };
    let reply = try_resolve(&room, broken).await.map(tonic::Response::new);
    refused(reply, Code::InvalidArgument, "REFERENCE_INVALID");

    let events = resolve_events(server).await;
    let read = events.iter().filter(|event| event["fields"].get("read").is_some()).count();
    assert_eq!((events.len(), read), (2, 0), "no secret was read: {events:?}");
}

#[tokio::test]
async fn the_audit_record_names_the_secrets_that_were_read_and_those_that_were_not() {
    let server = Server::alone();
    let room = Room::on(&server).await;
    for name in ["a", "b", "disabled", "unused"] {
        room.create(name, "v").await;
    }
    room.rotate("b", "w").await;
    room.disable("disabled", 1).await;
    resolved(&room, request(json!({"x": "$ secrets.a + secrets.b + secrets.a"}))).await;
    let unreadable = json!({"x": "$ secrets.a + secrets.disabled + secrets.absent"});
    try_resolve(&room, request(unreadable)).await.unwrap_err();
    resolved(&room, request(json!({"x": "$ 1"}))).await;

    let events = resolve_events(server).await;
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let text = |field: &str| event["fields"][field].as_str().unwrap_or("").to_owned();
            assert_eq!(text("namespace"), room.namespace, "{event:?}");
            (text("read"), text("not_read"), text("outcome"))
        })
        .collect();
    let event = |read: &str, not_read: &str, outcome: &str| (read.into(), not_read.into(), outcome.into());
    let expected = [
        event("a@1,b@2", "", "ok"),
        event("a@1", "absent,disabled@1", "FAILED_PRECONDITION"),
        event("", "", "ok"),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn every_document_in_a_namespace_of_others_is_denied() {
    let (mine, theirs) = (Room::open().await, Room::open().await);
    theirs.create("a", "v").await;
    for document in
        [json!({"a": "$ secrets.a"}), json!({"a": "$ secrets.absent"}), json!({"a": "$ 1 +"}), json!({})]
    {
        for validate_only in [false, true] {
            let namespace = theirs.namespace.clone();
            let request = ResolveReferencesRequest { namespace, validate_only, ..request(document.clone()) };
            denied(try_resolve(&mine, request).await.map(tonic::Response::new));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_values_of_a_document_are_of_one_moment() {
    let room = Room::open().await;
    // `a` is rotated, then `b` is rotated or deleted and created again. A mix of two moments would show in their values.
    room.create("a", "0").await;
    room.create("b", "0").await;
    let caller = room.caller.clone();
    let mut writer = JoinSet::new();
    writer.spawn(async move {
        for n in 1..100 {
            // `b` is always written after `a`. So at any moment `a` equals `b` or is one ahead of it.
            caller.rotate("a", &n.to_string()).await;
            if n % 10 == 0 {
                let gone = DeleteSecretRequest { name: "b".into(), ..Default::default() };
                caller.secrets().delete_secret(gone).await.unwrap();
                caller.create("b", &n.to_string()).await;
            } else {
                caller.rotate("b", &n.to_string()).await;
            }
        }
    });
    while writer.try_join_next().is_none() {
        let document = json!({"a": "$ secrets.a", "b": "$ secrets.get('b', '')"});
        let document = resolved(&room, request(document)).await;
        let (a, b) = (document["a"].as_str().unwrap(), document["b"].as_str().unwrap());
        let a: i64 = a.parse().unwrap();
        assert!(b.is_empty() || (0..=1).contains(&(a - b.parse::<i64>().unwrap())), "a is {a}, b is {b}");
    }
}

/// The audit events of ResolveReferences, once the server has ended.
async fn resolve_events(server: Server) -> Vec<Json> {
    let log = server.stop().await.all();
    let lines = log.lines().filter(|line| line.starts_with('{') && line.contains("/ResolveReferences"));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn wire_map(json: Json) -> Struct {
    match wire(json).kind {
        Some(Kind::StructValue(fields)) => fields,
        _ => panic!("a document is a map"),
    }
}

fn wire(json: Json) -> Wire {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(bool) => Kind::BoolValue(bool),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(wire).collect() }),
        Json::Object(fields) => Kind::StructValue(Struct {
            fields: fields.into_iter().map(|(key, field)| (key, wire(field))).collect(),
        }),
    };
    Wire { kind: Some(kind) }
}

fn json_map(fields: Struct) -> Json {
    Json::Object(fields.fields.into_iter().map(|(key, field)| (key, to_json(field))).collect())
}

fn to_json(wire: Wire) -> Json {
    match wire.kind.unwrap() {
        Kind::NullValue(_) => Json::Null,
        Kind::BoolValue(bool) => json!(bool),
        Kind::NumberValue(number) if number.fract() == 0.0 && number.abs() < 1e15 => json!(number as i64),
        Kind::NumberValue(number) => json!(number),
        Kind::StringValue(text) => json!(text),
        Kind::ListValue(list) => Json::Array(list.values.into_iter().map(to_json).collect()),
        Kind::StructValue(fields) => json_map(fields),
    }
}
