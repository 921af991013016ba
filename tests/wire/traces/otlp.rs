//! Reads the messages of OTLP field by field, by the numbers in its proto files: what a collector of another make would read.

use std::collections::BTreeMap;

/// The kind of the span of a request, and that of a step within it.
pub const SERVER: u64 = 2;
pub const INTERNAL: u64 = 1;

/// The status of a span that tells a fault.
pub const ERROR: u64 = 2;

#[derive(Debug, Clone, Default)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub state: String,
    pub name: String,
    pub kind: u64,
    pub start: u64,
    pub end: u64,
    pub attributes: BTreeMap<String, String>,
    pub status: u64,
    pub flags: u64,
    /// The attributes of the server.
    pub resource: BTreeMap<String, String>,
}

/// The spans of an `ExportTraceServiceRequest`.
pub fn spans(request: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in messages(request, 1) {
        let resource = messages(of_resource, 1).into_iter().flat_map(|resource| attributes(resource, 1));
        let resource: BTreeMap<_, _> = resource.collect();
        for of_scope in messages(of_resource, 2) {
            let scope = messages(of_scope, 1)[0];
            assert_eq!(text(scope, 1), "strongroom");
            assert!(text(of_scope, 3).starts_with("https://opentelemetry.io/schemas/"));
            spans.extend(
                messages(of_scope, 2).into_iter().map(|one| Span { resource: resource.clone(), ..span(one) }),
            );
        }
    }
    spans
}

fn span(span: &[u8]) -> Span {
    Span {
        trace: hex(span, 1),
        id: hex(span, 2),
        state: text(span, 3),
        parent: hex(span, 4),
        name: text(span, 5),
        kind: number(span, 6),
        start: number(span, 7),
        end: number(span, 8),
        attributes: attributes(span, 9),
        status: messages(span, 15).first().map_or(0, |status| number(status, 3)),
        flags: number(span, 16),
        resource: BTreeMap::new(),
    }
}

/// The pairs in the field with this number.
fn attributes(message: &[u8], field: u64) -> BTreeMap<String, String> {
    let pair = |pair: &[u8]| {
        let value = messages(pair, 2)[0];
        let is_text = fields(value).iter().any(|(number, _)| *number == 1);
        (text(pair, 1), if is_text { text(value, 1) } else { number(value, 3).to_string() })
    };
    messages(message, field).into_iter().map(pair).collect()
}

fn text(message: &[u8], field: u64) -> String {
    let text = messages(message, field).first().map(|text| text.to_vec()).unwrap_or_default();
    String::from_utf8(text).unwrap()
}

fn hex(message: &[u8], field: u64) -> String {
    data_encoding::HEXLOWER.encode(messages(message, field).first().unwrap_or(&&[][..]))
}

fn number(message: &[u8], field: u64) -> u64 {
    let found = fields(message).into_iter().find(|(number, _)| *number == field);
    found.map_or(0, |(_, content)| match content {
        Content::Number(number) => number,
        Content::Bytes(_) => panic!("the field {field} has bytes"),
    })
}

/// The contents of all fields with this number: messages, texts or bytes.
fn messages(message: &[u8], field: u64) -> Vec<&[u8]> {
    let found = fields(message).into_iter().filter(|(number, _)| *number == field);
    let bytes = |content| match content {
        Content::Bytes(bytes) => bytes,
        Content::Number(_) => panic!("the field {field} has a number"),
    };
    found.map(|(_, content)| bytes(content)).collect()
}

enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in the encoding of protobuf.
fn fields(mut rest: &[u8]) -> Vec<(u64, Content<'_>)> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest);
        let content = match key & 7 {
            0 => Content::Number(varint(&mut rest)),
            1 => Content::Number(u64::from_le_bytes(take(&mut rest, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut rest);
                Content::Bytes(take(&mut rest, usize::try_from(length).unwrap()))
            }
            5 => Content::Number(u32::from_le_bytes(take(&mut rest, 4).try_into().unwrap()).into()),
            other => panic!("the type {other} of a field"),
        };
        fields.push((key >> 3, content));
    }
    fields
}

fn varint(rest: &mut &[u8]) -> u64 {
    prost::encoding::decode_varint(rest).unwrap()
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken
}
