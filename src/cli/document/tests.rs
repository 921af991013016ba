use std::collections::BTreeMap;

use proptest::prelude::*;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use zeroize::Zeroizing;

use super::{Document, Format};

fn document(format: Format, text: &str) -> Document {
    Document::parse(Zeroizing::new(text.to_owned()), format).unwrap()
}

/// Resolves as a service would: `answer` gives the value of each reference.
fn resolve(value: Value, answer: &dyn Fn(&str) -> Kind) -> Value {
    let kind = value.kind.map(|kind| match kind {
        Kind::StringValue(text) if text.starts_with("$ ") => answer(&text[2..]),
        Kind::ListValue(list) => Kind::ListValue(ListValue {
            values: list.values.into_iter().map(|v| resolve(v, answer)).collect(),
        }),
        Kind::StructValue(map) => Kind::StructValue(resolve_all(map, answer)),
        other => other,
    });
    Value { kind }
}

fn resolve_all(map: Struct, answer: &dyn Fn(&str) -> Kind) -> Struct {
    Struct { fields: map.fields.into_iter().map(|(name, v)| (name, resolve(v, answer))).collect() }
}

fn inject(format: Format, text: &str, answer: &dyn Fn(&str) -> Kind) -> Result<String, String> {
    let document = document(format, text);
    let resolved = resolve_all(document.skeleton(), answer);
    document.render(resolved).map(|rendered| rendered.to_string())
}

/// A value with every character that needs quotes.
const NASTY: &str = "it's \"q\" \\ $x `y`\n# {{é}}\t\u{85}\u{2028}\u{7f}😀";

fn answer(expression: &str) -> Kind {
    let number = |n: f64| Value { kind: Some(Kind::NumberValue(n)) };
    match expression.trim() {
        "plain" => Kind::StringValue("plain".into()),
        "number" => Kind::NumberValue(5432.0),
        "truth" => Kind::BoolValue(true),
        "none" => Kind::NullValue(0),
        "list" => Kind::ListValue(ListValue { values: vec![number(1.0), number(0.5)] }),
        "map" => Kind::StructValue(Struct { fields: BTreeMap::from([("k é".into(), number(-2.0))]) }),
        _ => Kind::StringValue(NASTY.into()),
    }
}

#[test]
fn json_keeps_all_but_its_references() {
    let text = "{\"b\": 12345678901234567890, \"a\":1.0,\n\t\"a\": \"$ plain\", \"n\\u0061me\": [null, \"$x\", \"\\u0024 number\", \"\\ud800\"],\n \"m\": {\"l\": \"$ list\", \"d\": \"$ map\", \"t\": \"$ truth\", \"z\": \"$ none\"} }\n";
    let expected = "{\"b\": 12345678901234567890, \"a\":1.0,\n\t\"a\": \"plain\", \"n\\u0061me\": [null, \"$x\", 5432, \"\\ud800\"],\n \"m\": {\"l\": [1, 0.5], \"d\": { \"k é\": -2 }, \"t\": true, \"z\": null} }\n";
    assert_eq!(inject(Format::Json, text, &answer).unwrap(), expected);
}

#[test]
fn yaml_keeps_all_but_its_references() {
    let text = "%YAML 1.2\n---\n# all of it\nb: 0o17   # octal\n1: $ plain   # comment\n\"1\": '$ plain'  # it's\n? [x, $ y]\n: \"$ \\\n  plain\"\n\
        when: 2001-12-14t21:59:43.10-05:00\nanchor: &a !!str $ plain\nalias: *a\nblock: |\n  $ plain\n\n\nfolded: &b >- # | why\n  $\n  plain\nflow: {a: $ number, b: [ $ list , '$ map' ], c: \"$ none\" }\r\n\
        list:\n- $ plain\n-\n  - !custom '$ plain'\n  - |2-\n     no\n";
    let expected = "%YAML 1.2\n---\n# all of it\nb: 0o17   # octal\n1: \"plain\"   # comment\n\"1\": \"plain\"  # it's\n? [x, $ y]\n: \"plain\"\n\
        when: 2001-12-14t21:59:43.10-05:00\nanchor: &a !!str \"plain\"\nalias: *a\nblock: \"plain\"\n\n\nfolded: &b \"plain\"\nflow: {a: 5432, b: [ [1, 0.5] , { \"k é\": -2 } ], c: null }\r\n\
        list:\n- \"plain\"\n-\n  - !custom \"plain\"\n  - |2-\n     no\n";
    assert_eq!(inject(Format::Yaml, text, &answer).unwrap(), expected);
    assert_eq!(
        inject(Format::Yaml, "--- $ plain\n---\n- $ plain\n", &answer).unwrap(),
        "--- \"plain\"\n---\n- \"plain\"\n"
    );
    assert_eq!(inject(Format::Yaml, "\u{feff}é: $ plain", &answer).unwrap(), "\u{feff}é: \"plain\"");
}

#[test]
fn toml_keeps_all_but_its_references() {
    let text = "# all of it\nat = 1979-05-27T07:32:00Z\nbig = 9223372036854775807\n'k' = '$ plain' # one\nm = \"\"\"\n$ plain\"\"\"\n[t.u]\nx = [\"$ number\", '$ map', \"$ list\", \"$no\"]\n[[a]]\ny = { z = \"$ plain\" }\n";
    let expected = "# all of it\nat = 1979-05-27T07:32:00Z\nbig = 9223372036854775807\n'k' = \"plain\" # one\nm = \"plain\"\n[t.u]\nx = [5432, { \"k é\" = -2 }, [1, 0.5], \"$no\"]\n[[a]]\ny = { z = \"plain\" }\n";
    assert_eq!(inject(Format::Toml, text, &answer).unwrap(), expected);
    assert!(inject(Format::Toml, "a = '$ none'", &answer).unwrap_err().starts_with("line 1, column 5: "));
}

#[test]
fn dotenv_keeps_all_but_its_references() {
    let text = "# all of it\n\nexport A=$ plain # one\nB = \"$ number\"\nC='$ x'\nD=$x\nE=\"${F}\"\n";
    let expected = format!(
        "# all of it\n\nexport A=plain # one\nB = 5432\nC={}\nD=$x\nE=\"${{F}}\"\n",
        *crate::cli::dotenv::quoted(NASTY).unwrap()
    );
    assert_eq!(inject(Format::Env, text, &answer).unwrap(), expected);
    assert!(inject(Format::Env, "A=$ list", &answer).is_err());
}

#[test]
fn text_keeps_all_but_its_references() {
    let text = "a {{ plain }} {{{{ .Values }} {{f'}}{x}'}} { } }} {{\nnumber\n}}\r\n\0";
    let expected = format!("a plain {{{{ .Values }}}} {NASTY} {{ }} }}}} 5432\r\n\0");
    assert_eq!(inject(Format::Text, text, &answer).unwrap(), expected);
    for refused in ["{{ plain", "{{ }}", "{{ 'a }}"] {
        assert!(Document::parse(Zeroizing::new(refused.into()), Format::Text).is_err(), "{refused}");
    }
}

#[test]
fn only_references_and_the_shape_around_them_are_sent() {
    let text = "{\"password\": \"in the clear\", \"list\": [\"other\", \"$ x\"], \"deep\": {\"n\": 5, \"l\": [\"clear\"]}, \
        \"step\": {\"tool\": \"openai\", \"secret_name\": \"key\", \"more\": \"clear\"}, \"secret_name\": \"clear\"}";
    let sent = format!("{:?}", document(Format::Json, text).skeleton());
    assert!(!sent.contains("clear") && !sent.contains("other") && !sent.contains("password"), "{sent}");
    assert!(sent.contains("$ x") && sent.contains("openai") && sent.contains("key"), "{sent}");
}

#[test]
fn places_are_found_by_the_services_pointers() {
    let text = "a:\n  - x\n  - k/~: $ y\n";
    assert_eq!(document(Format::Yaml, text).position("/a/1/k~1~0"), Some((3, 10)));
    assert_eq!(document(Format::Json, "[\"é\", \"$ x\"]").position("/document/1"), Some((1, 7)));
    assert_eq!(document(Format::Text, "é\n {{ x }}").position("/1"), Some((2, 2)));
    assert_eq!(document(Format::Yaml, text).position("/a/7"), None);
}

#[test]
fn a_document_too_deep_or_malformed_is_refused() {
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    for (format, text) in [
        (Format::Json, deep.as_str()),
        (Format::Yaml, deep.as_str()),
        (Format::Toml, "a = 'in the clear"),
        (Format::Json, "{\"a\": \"in the clear\" \"b\"}"),
        (Format::Yaml, "a: *in_the_clear"),
        (Format::Yaml, "a: [in the clear"),
    ] {
        let refused = Document::parse(Zeroizing::new(text.to_owned()), format).err().unwrap();
        assert!(refused.starts_with("line 1, column ") && !refused.contains("in the clear"), "{refused}");
    }
}

#[test]
fn a_reference_can_stand_as_deep_as_the_wire_carries_it() {
    let at = |depth: usize| format!("{}\"$ x\"{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(inject(Format::Json, &at(32), &answer).is_ok());
    assert!(Document::parse(Zeroizing::new(at(33)), Format::Json).is_err());
    // Other strings are not sent and may be deeper.
    assert!(inject(Format::Json, &at(64).replace("$ x", "x"), &answer).is_ok());
}

proptest! {
    /// Each format reads every value back unchanged, and its neighbours stay.
    #[test]
    fn any_value_can_be_placed(value in "(?s).{0,40}") {
        let exact = |_: &str| Kind::StringValue(value.clone());
        for (format, text) in [
            (Format::Json, "[\"a\", \"$ x\", {\"b\": \"$ x\"}]"),
            (Format::Yaml, "a:\n- $ x\n- [b, \"$ x\" ]\nc: |\n  $ x\nd: e\n"),
            (Format::Toml, "a = '$ x'\nb = [\"\"\"$ x\"\"\"]\n"),
        ] {
            prop_assert!(inject(format, text, &exact).is_ok());
        }
        if !value.contains('\0') {
            prop_assert!(inject(Format::Env, "A=$ x\nB='$ x'\n", &exact).is_ok());
        }
    }

    /// A value can be written wherever a parser finds a reference, and nothing else changes.
    #[test]
    fn every_reference_can_be_replaced(
        text in "([-?:,] |[\\[\\]{}&*!|>'\"%@`#$ xé\n\r\t=.0-]|\n  |\n- |a: |\\$ x)*",
    ) {
        let value = |_: &str| Kind::StringValue("v w".into());
        for format in [Format::Json, Format::Yaml, Format::Toml, Format::Env, Format::Text] {
            if let Ok(document) = Document::parse(Zeroizing::new(text.clone()), format) {
                let rendered = document.render(resolve_all(document.skeleton(), &value));
                prop_assert!(rendered.is_ok(), "{rendered:?}");
            }
        }
    }
}
