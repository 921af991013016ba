//! Spans as OTLP has them, under the names of OpenTelemetry's semantic conventions.

use super::message::{
    Any, AnyValue, ExportTraceServiceRequest, InstrumentationScope, KeyValue, Resource, ResourceSpans,
    ScopeSpans, Span, SpanKind, Status, StatusCode,
};
use super::span::{Ended, EndedStep};
use crate::domain::new_id;

const NAME: &str = "strongroom";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The release of the semantic conventions that the names follow: the last one with these names for RPCs.
const CONVENTIONS: &str = "https://opentelemetry.io/schemas/1.37.0";
/// The name of all RPCs that do not exist.
const UNKNOWN_RPC: &str = "unknown";

/// The flags of a span: the trace is sampled, and it is known whether the parent is on another machine.
const SAMPLED: u32 = 0x001;
const PARENT_IS_KNOWN: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;

/// The codes of gRPC that tell a fault of the server: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS.
const FAULTS: [usize; 6] = [2, 4, 12, 13, 14, 15];

/// This server.
pub(super) fn resource() -> Resource {
    let attributes = vec![
        text("service.name", NAME),
        text("service.version", VERSION),
        text("service.instance.id", new_id().to_string()),
    ];
    Resource { attributes }
}

/// The message with these spans and their steps.
pub(super) fn of(resource: Resource, batch: Vec<Ended>) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope { name: NAME.into(), version: VERSION.into() };
    let spans = batch.into_iter().flat_map(spans).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, schema_url: CONVENTIONS.into() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans }],
    }
}

/// The span of a request, and those of its steps.
fn spans(ended: Ended) -> Vec<Span> {
    let steps = (1..).zip(&ended.steps).map(|(number, step)| of_step(&ended, number, step));
    let mut spans: Vec<_> = steps.collect();
    spans.push(of_request(ended));
    spans
}

fn of_request(ended: Ended) -> Span {
    let remote = if ended.context.parent.is_some() { PARENT_IS_REMOTE } else { 0 };
    let mut attributes = vec![text("rpc.system", "grpc")];
    if let Some((service, method)) = ended.rpc.and_then(|rpc| rpc.rsplit_once('/')) {
        attributes.extend([text("rpc.service", service), text("rpc.method", method)]);
    }
    attributes.push(number("rpc.grpc.status_code", i64::try_from(ended.code).unwrap_or_default()));
    attributes.push(text("strongroom.request_id", ended.request.to_string()));
    attributes.extend(ended.reason.map(|reason| text("strongroom.reason", reason)));
    let code = if FAULTS.contains(&ended.code) { StatusCode::Error } else { StatusCode::Unset };
    Span {
        trace_id: ended.context.trace.into(),
        span_id: ended.id.into(),
        trace_state: ended.context.state.map(Into::into).unwrap_or_default(),
        parent_span_id: ended.context.parent.map(Into::into).unwrap_or_default(),
        name: ended.rpc.unwrap_or(UNKNOWN_RPC).into(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: ended.began,
        end_time_unix_nano: ended.ended,
        attributes,
        status: Some(Status { code: code.into() }),
        flags: SAMPLED | PARENT_IS_KNOWN | remote,
    }
}

/// A step has the id of the request's span with its own number in the first byte: that byte is never so small in the id of a request.
fn of_step(request: &Ended, number: u8, step: &EndedStep) -> Span {
    let [_, rest @ ..] = request.id;
    let id = [&[number][..], &rest].concat();
    Span {
        trace_id: request.context.trace.into(),
        span_id: id,
        trace_state: request.context.state.as_deref().unwrap_or_default().into(),
        parent_span_id: request.id.into(),
        name: step.name.into(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: step.began,
        end_time_unix_nano: step.ended,
        attributes: Vec::new(),
        status: None,
        flags: SAMPLED | PARENT_IS_KNOWN,
    }
}

fn text(key: &str, text: impl Into<String>) -> KeyValue {
    value(key, Any::Text(text.into()))
}

fn number(key: &str, number: i64) -> KeyValue {
    value(key, Any::Number(number))
}

fn value(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }) }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use uuid::Uuid;

    use super::super::context::Context;
    use super::*;

    /// The bytes that the Python package opentelemetry-proto 1.45.2, which comes from the proto files of OTLP, makes of this message.
    const OFFICIAL: &str = "0a99010a1e0a1c0a0c736572766963652e6e616d65120c0a0a7374726f6e67726f6f6d12770a060a016e120131126a0a100102030405060708090a0b0c0d\
0e0f10120801020304050607081a03613d3122080b0c0d0e0f1011122a03782f7930023901000000000000004102000000000000004a1a0a147270632e677270632e\
7374617475735f636f64651202180e7a0218028501010300001a0175";

    #[test]
    fn messages_have_the_bytes_of_the_official_ones() {
        let span = Span {
            trace_id: (1..17).collect(),
            span_id: (1..9).collect(),
            trace_state: "a=1".into(),
            parent_span_id: (11..19).collect(),
            name: "x/y".into(),
            kind: SpanKind::Server.into(),
            start_time_unix_nano: 1,
            end_time_unix_nano: 2,
            attributes: vec![number("rpc.grpc.status_code", 14)],
            status: Some(Status { code: StatusCode::Error.into() }),
            flags: SAMPLED | PARENT_IS_KNOWN | PARENT_IS_REMOTE,
        };
        let scope = InstrumentationScope { name: "n".into(), version: "1".into() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans: vec![span], schema_url: "u".into() }];
        let resource = Some(Resource { attributes: vec![text("service.name", NAME)] });
        let resource_spans = vec![ResourceSpans { resource, scope_spans }];
        let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), OFFICIAL);
    }

    #[test]
    fn the_status_is_an_error_for_faults_of_the_server_alone() {
        let failed = |code| {
            let span = of_request(Ended {
                context: Context::beginning(Uuid::nil()),
                id: [0x80; 8],
                request: Uuid::nil(),
                rpc: Some("strongroom.v1.SecretService/GetSecret"),
                code,
                reason: None,
                began: 1,
                ended: 2,
                steps: Vec::new(),
            });
            span.status.is_some_and(|status| status.code == i32::from(StatusCode::Error))
        };
        let faults: Vec<_> = (0..17).filter(|code| failed(*code)).collect();
        assert_eq!(faults, FAULTS);
    }
}
