//! Tests of the language. docs/references.md is one of them: each of its examples is evaluated.

mod bounds;
mod guide;
mod problems;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::SecretName;

/// The secrets that the tests can look up.
struct Known(BTreeMap<String, Data>);

impl SecretLookup for Known {
    fn value(&self, name: &SecretName) -> Result<Data, ProblemKind> {
        match name.as_str() {
            "disabled" => Err(ProblemKind::VersionDisabled(name.clone(), 3)),
            known => {
                let found = self.0.get(known).map(Data::copy);
                found.ok_or_else(|| ProblemKind::MissingSecret(name.clone()))
            }
        }
    }
}

fn known() -> Known {
    let texts = [
        ("api_key", "sk-123"),
        ("db_host", "db.internal"),
        ("db_username", "app"),
        ("db_password", "{p}$ secrets.x\0\n"),
        ("db_name", "users"),
        ("openai_api_key", "sk-openai"),
        ("get", "got"),
        ("class", "first"),
        ("template", "$ secrets.api_key"),
        ("items", "1"),
        ("format", "2"),
        ("__class__", "3"),
        ("None", "4"),
        ("in", "5"),
    ];
    let mut known: BTreeMap<_, _> =
        texts.into_iter().map(|(name, text)| (name.to_owned(), Data::text(text))).collect();
    known.insert("certificate".to_owned(), Data::Bytes(vec![0, 255].into()));
    Known(known)
}

fn data(value: &Value) -> Data {
    match value {
        Value::Null => Data::Null,
        Value::Bool(bool) => Data::Bool(*bool),
        Value::Number(number) => Data::number(number.as_f64().unwrap()),
        Value::String(text) => Data::text(text),
        Value::Array(items) => Data::List(items.iter().map(data).collect()),
        Value::Object(fields) => {
            Data::Map(fields.iter().map(|(key, value)| (key.clone(), data(value))).collect())
        }
    }
}

fn value(data: &Data) -> Value {
    match data {
        Data::Null => Value::Null,
        Data::Bool(bool) => json!(bool),
        Data::Int(int) => json!(int),
        Data::Float(float) => json!(float),
        Data::Text(text) => json!(text.as_str()),
        Data::Bytes(_) => panic!("bytes in a result"),
        Data::List(items) => items.iter().map(value).collect(),
        Data::Map(fields) => fields.iter().map(|(key, field)| (key.clone(), value(field))).collect(),
    }
}

fn resolve(document: &Value, inputs: &Value) -> Result<Value, Vec<Problem>> {
    let resolved = Template::parse(data(document))?.evaluate(&data(inputs), &known())?;
    Ok(value(&resolved.document))
}

/// The value of one expression, or its problem.
fn evaluate(expression: &str) -> Result<Value, ProblemKind> {
    let inputs = json!({
        "input": {"name": "Ada", "tags": ["a", "b"], "count": 3, "items": "field"},
        "region": "eu",
        "ratio": 0.5,
    });
    resolve(&json!(format!("$ {expression}")), &inputs).map_err(|mut problems| {
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].place, Pointer::root());
        problems.remove(0).kind
    })
}

fn places(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.place.as_str()).collect()
}

/// The code gives what the page that defines the language says.
#[test]
fn every_example_of_the_documentation_holds() {
    let page = include_str!("../../../docs/references.md");
    let mut wrong = Vec::new();
    let mut examples = 0;
    for block in page.split("```references\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            let (expression, expected) = line.split_once(" → ").unwrap();
            examples += 1;
            let got = match (evaluate(expression), expected.strip_prefix("refused: ")) {
                (Err(problem), Some(part)) if problem.to_string().contains(part) => continue,
                (Ok(got), None) if got == serde_json::from_str::<Value>(expected).unwrap() => continue,
                (Err(problem), _) => problem.to_string(),
                (Ok(got), _) => got.to_string(),
            };
            wrong.push(format!("{line}\n    gave {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(examples > 100, "only {examples} examples were found: does the test still read them?");
}

#[test]
fn leaves_everything_but_expressions_as_it_is() {
    let document = json!({
        "$ secrets.api_key": "$secrets.api_key",
        "a": ["$", "$x", " $ secrets.api_key", "{secrets.api_key}", "", "\u{24}\tsecrets.api_key"],
        "b": [1, 2.5, true, null, {}, []],
        "secret_name": "not a name",
        "c": {"tool": "x"},
    });
    assert_eq!(resolve(&document, &json!({})).unwrap(), document);
}

#[test]
fn secrets_may_have_any_legal_name() {
    for (name, text) in [("items", "1"), ("format", "2"), ("__class__", "3"), ("None", "4"), ("in", "5")] {
        assert_eq!(evaluate(&format!("secrets.{name}")), Ok(json!(text)));
        assert_eq!(evaluate(&format!("f'{{secrets.{name}}}'")), Ok(json!(text)));
        assert_eq!(evaluate(&format!("[secrets\n.\n{name} if secrets.{name} else 1]")), Ok(json!([text])));
    }
    assert_eq!(evaluate("secrets.get.upper()"), Ok(json!("GOT")));
    // A keyword is a name only after a dot.
    for broken in ["class", "secrets.class class", "secrets. + 1", "f'{class}'", "1 class", "None.in.in in"] {
        assert!(evaluate(broken).is_err(), "{broken}");
    }
    assert_eq!(evaluate("secrets.é"), Err(ProblemKind::NotASecretName));
    assert_eq!(evaluate("secrets['a-b']"), Err(ProblemKind::NotASecretName));
}

#[test]
fn lists_each_reference_once_and_in_order() {
    let document = json!({
        "z": "$ secrets.b + secrets.a + secrets.b",
        "y": "$ secrets.get('c', secrets['a'])",
        "x": {"tool": "t", "secret_name": "b"},
    });
    let references = Template::parse(data(&document)).ok().unwrap().references();
    let listed: Vec<_> = references
        .iter()
        .map(|r| (r.name.as_str(), r.places.iter().map(Pointer::as_str).collect()))
        .collect();
    let expected: [(&str, Vec<&str>); 3] =
        [("a", vec!["/z", "/y"]), ("b", vec!["/z", "/x/secret_name"]), ("c", vec!["/y"])];
    assert_eq!(listed, expected);
}

#[test]
fn input_can_be_anything_or_missing() {
    for input in [json!(null), json!(1), json!(2.5), json!("x"), json!([1]), json!({"a": 1}), json!(true)] {
        let inputs = json!({"input": input, "a": 1});
        assert_eq!(resolve(&json!(["$ _", "$ input"]), &inputs).unwrap(), json!([input, input]));
        assert_eq!(resolve(&json!("$ inputs"), &inputs).unwrap(), json!({"a": 1}));
    }
    let problems = resolve(&json!({"x": "$ _", "input": "$ _"}), &json!({})).unwrap_err();
    assert_eq!(places(&problems), ["/x", "/input"]);
    assert!(problems.iter().all(|problem| problem.kind == ProblemKind::NoInput));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any text gives a value or a problem, and the same one each time.
    #[test]
    fn any_text_gives_a_value_or_a_problem(expression in "(\\PC|[a-z_0-9.()\\[\\]{}'\"%:+,! ]|secrets|input|f'|str|not |if |else |in ){0,40}") {
        prop_assert_eq!(evaluate(&expression), evaluate(&expression));
    }

    #[test]
    fn plain_documents_stay_as_they_are(text in "[^$].*", key in ".*", number in any::<i32>()) {
        let document = json!({key: [text, number]});
        prop_assert_eq!(resolve(&document, &json!({})).unwrap(), document);
    }
}
