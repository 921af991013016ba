use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::SecretName;

/// Secrets by name, for looking up.
struct Known(BTreeMap<String, Data>);

impl Secrets for Known {
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

/// What one expression gives, or its problem.
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

/// The page that defines the language, and the code, say the same.
#[test]
fn every_example_of_the_documentation_holds() {
    let page = include_str!("../../docs/references.md");
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
fn the_bounds_of_the_documentation_are_the_code_s() {
    let page = include_str!("../../docs/references.md");
    let bounds = [
        ("| depth of lists and maps", "32", Bound::Depth, 32),
        ("| one expression", "16,384 bytes", Bound::ExpressionLength, 16_384),
        ("| nesting of one expression", "200", Bound::ExpressionNesting, 200),
        ("| expressions and credentials", "10,000", Bound::Expressions, 10_000),
        ("| parts ", "100,000", Bound::Parts, 100_000),
        ("| JSON Pointer", "512 bytes", Bound::Pointer, 512),
        ("| secrets that", "1,000", Bound::Secrets, 1_000),
        ("| bytes of their names", "524,288 bytes", Bound::Places, 524_288),
        ("| steps ", "100,000", Bound::Steps, 100_000),
        ("| memory of all", "4 MiB", Bound::Built, 4 << 20),
        ("| memory of the results", "1 MiB", Bound::Output, 1 << 20),
    ];
    for (row, written, bound, limit) in bounds {
        let line = page.lines().find(|line| line.starts_with(row)).unwrap();
        assert!(line.ends_with(&format!("| {written} |")), "{line}");
        assert_eq!(bound.limit(), limit, "{row}");
    }
}

mod guide {
    use super::*;

    #[test]
    fn using_secrets_in_tasks() {
        let task = json!({"steps": [{
            "kind": "tool_call",
            "tool": "openai",
            "operation": "chat",
            "arguments": {
                "model": "gpt-4",
                "messages": [{"role": "user", "content": "What's the weather like?"}]
            },
            "secret_name": "openai_api_key"
        }]});
        let template = Template::parse(data(&task)).ok().unwrap();
        let references = template.references();
        assert_eq!(references.len(), 1);
        assert_eq!(references[0].name.as_str(), "openai_api_key");
        assert_eq!(references[0].places[0].as_str(), "/steps/0/secret_name");
        let resolved = template.evaluate(&json_inputs(), &known()).ok().unwrap();
        assert_eq!(value(&resolved.document), task);
        let [credential] = &resolved.credentials[..] else { panic!("one credential") };
        assert_eq!((credential.place.as_str(), credential.name.as_str()), ("/steps/0", "openai_api_key"));
        assert_eq!(value(&credential.value), json!("sk-openai"));
    }

    #[test]
    fn using_secrets_in_expressions() {
        let mut task = json!({"steps": [{
            "kind": "transform",
            "expression": "$ f'https://api.example.com/v1?api_key={secrets.api_key}&query={input}'",
            "input": "search query",
            "output": "api_url"
        }]});
        // As it stands, with the step's own input; and with the one of the request, which comes first.
        for (inputs, query) in [(json!({}), "search query"), (json!({"input": "other"}), "other")] {
            let resolved = resolve(&task, &inputs).unwrap();
            let url = format!("https://api.example.com/v1?api_key=sk-123&query={query}");
            assert_eq!(resolved["steps"][0]["expression"], json!(url));
            assert_eq!(resolved["steps"][0]["input"], json!("search query"));
        }
        // Julep's own name of the input.
        task["steps"][0]["expression"] = json!("$ f'{secrets.api_key}&query={_}'");
        assert_eq!(
            resolve(&task, &json!({})).unwrap()["steps"][0]["expression"],
            json!("sk-123&query=search query")
        );
    }

    #[test]
    fn using_multiple_secrets() {
        let connection = json!({
            "host": "$ secrets.db_host",
            "user": "$ secrets.db_username",
            "password": "$ secrets.db_password",
            "database": "$ secrets.db_name"
        });
        let task = json!({"steps": [{"tool": "database", "arguments": {"connection": connection}}]});
        assert_eq!(
            resolve(&task, &json!({})).unwrap()["steps"][0]["arguments"]["connection"],
            json!({"host": "db.internal", "user": "app", "password": "{p}$ secrets.x\0\n", "database": "users"})
        );
    }

    fn json_inputs() -> Data {
        data(&json!({}))
    }
}

#[test]
fn leaves_all_else_as_it_stands() {
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
fn secrets_may_be_called_anything() {
    for (name, text) in [("items", "1"), ("format", "2"), ("__class__", "3"), ("None", "4"), ("in", "5")] {
        assert_eq!(evaluate(&format!("secrets.{name}")), Ok(json!(text)));
        assert_eq!(evaluate(&format!("f'{{secrets.{name}}}'")), Ok(json!(text)));
        assert_eq!(evaluate(&format!("[secrets\n.\n{name} if secrets.{name} else 1]")), Ok(json!([text])));
    }
    assert_eq!(evaluate("secrets.get.upper()"), Ok(json!("GOT")));
    // A keyword is a name behind a dot only.
    for broken in ["class", "secrets.class class", "secrets. + 1", "f'{class}'", "1 class", "None.in.in in"] {
        assert!(evaluate(broken).is_err(), "{broken}");
    }
    assert_eq!(evaluate("secrets.é"), Err(ProblemKind::NotASecretName));
    assert_eq!(evaluate("secrets['a-b']"), Err(ProblemKind::NotASecretName));
}

#[test]
fn tells_all_problems_with_their_places_and_resolves_nothing() {
    let document = json!({
        "ok": "$ secrets.api_key",
        "a/b": ["$ (", {"~": "$ lambda: 1"}],
        "step": {"tool": 1, "secret_name": "$ secrets.x", "x": "$ x"},
        "other": {"tool": 1, "secret_name": "a-b"},
        "third": {"tool": 1, "secret_name": 5},
        "fourth": {"tool": 1, "secret_name": null},
    });
    let problems = Template::parse(data(&document)).err().unwrap();
    assert_eq!(
        places(&problems),
        ["/a~1b/0", "/a~1b/1/~0", "/step/secret_name", "/step/x", "/other/secret_name", "/third/secret_name"]
    );
    let document = json!(["$ secrets.no", "$ 1/0", "$ secrets.api_key", "$ secrets.neither"]);
    let problems = resolve(&document, &json!({})).unwrap_err();
    assert_eq!(places(&problems), ["/0", "/1", "/3"]);
    assert_eq!(problems[2].kind, ProblemKind::MissingSecret(SecretName::parse("neither").unwrap()));
    let many = Value::from(vec!["$ nothing"; 100]);
    assert_eq!(Template::parse(data(&many)).err().unwrap().len(), 32);
}

#[test]
fn a_missing_credential_comes_before_all_else() {
    let document = json!([
        "$ 1/0",
        {"tool": "a", "secret_name": "missing"},
        {"steps": [{"secret_name": "gone", "tool": "b", "x": "$ secrets.missing"}]},
        {"tool": "a", "secret_name": "api_key"},
    ]);
    let problems = resolve(&document, &json!({})).unwrap_err();
    assert_eq!(places(&problems), ["/1/secret_name", "/2/steps/0/secret_name"]);
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

#[test]
fn no_problem_shows_a_value() {
    let canary = "c4n4ry";
    let mut secrets = known();
    secrets.0.insert("canary".to_owned(), Data::text(canary));
    let inputs = data(&json!({"input": {"c4n4ry": ["c4n4ry"]}, "c4n4ry": "c4n4ry"}));
    for expression in [
        "secrets.canary + 1",
        "'c4n4ry' + 1",
        "secrets.canary % 1",
        "f'{1:{secrets.canary}}'",
        "_[secrets.canary][7]",
        "_[secrets.canary + 'x']",
        "inputs.c4n4ry.split('')",
        "{}[secrets.canary]",
        "c4n4ry",
        "'c4n4ry",
        "secrets['c4n4ry ']",
        "'%(c4n4ry)s' % 1",
        "json(secrets.canary, 1)",
        "secrets.canary * 99999999999999999999",
        "f'{secrets.canary:c4n4ry}'",
        "c4n4ry c4n4ry",
    ] {
        let document = Data::text(format!("$ {expression}"));
        let problems = match Template::parse(document) {
            Ok(template) => template.evaluate(&inputs, &secrets).err().unwrap(),
            Err(problems) => problems,
        };
        for problem in problems {
            assert!(!format!("{problem} {problem:?}").contains(canary), "{expression}: {problem}");
            assert!(problem.to_string().ends_with('.'), "{problem}");
        }
    }
}

mod hostile {
    use super::*;

    fn costly(expression: &str) -> Bound {
        match evaluate(expression) {
            Err(ProblemKind::TooCostly(bound)) => bound,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("resolved"),
        }
    }

    #[test]
    fn long_expressions_are_refused() {
        for piece in ["1+", "(", "x", " ", "'", "\u{1f600}", "f'{", "not "] {
            assert_eq!(costly(&piece.repeat(1_000_000 / piece.len())), Bound::ExpressionLength);
        }
    }

    #[test]
    fn explosions_are_refused_before_they_are_built() {
        for bomb in [
            "'%1000000000s' % 'x'",
            "'%99999999999999999999999s' % 'x'",
            "'%01000000000d' % 1",
            "f'{1:>999999999}'",
            "f'{\"x\":>99999999999999999999999}'",
            "f'{\"x\":{\"9\" + \"9\" * 0 if False else \"999999999\"}}'",
            "f'{1.5:{10000000}.{1}}'",
            &format!("[{}]", "'%100000s' % 1,".repeat(100)),
            &format!("len('%100000s' % 1){}", " + len('%100000s' % 1)".repeat(60)),
        ] {
            assert_eq!(costly(bomb), Bound::Built, "{bomb}");
        }
        assert_eq!(costly("'%3000000s' % 1"), Bound::Output);
        assert_eq!(costly(&format!("'x'{}", ".replace('', 'xxxxxxxx')".repeat(30))), Bound::Steps);
        assert!(evaluate("f'{1.5:.1000000000f}'").is_err());
        assert!(evaluate("'%.1000000000f' % 1").is_err());
    }

    #[test]
    fn work_is_bounded() {
        let items: Vec<_> = (0..3_000).collect();
        let inputs = json!({"input": items});
        for expression in ["$ _ == _", "$ -1 in _", "$ json(_)", "$ str(_)", "$ _ + _"] {
            let problems = resolve(&Value::from(vec![expression; 200]), &inputs).unwrap_err();
            let last = &problems.last().unwrap().kind;
            assert!(matches!(last, ProblemKind::TooCostly(_)), "{expression}: {last}");
        }
        let text = "a".repeat(500_000);
        let document = Value::from(vec!["$ _.strip(_)"; 2]);
        assert!(resolve(&document, &json!({"input": text})).is_err());
    }

    #[test]
    fn documents_are_bounded() {
        let mut deep = Data::text("$ 1");
        for _ in 0..1_000_000 {
            deep = Data::List(vec![deep]);
        }
        assert_eq!(Template::parse(deep).err().unwrap()[0].kind, ProblemKind::TooCostly(Bound::Depth));

        let nested = |levels| (0..levels).fold(json!("$ [_]"), |inner, _| json!([inner]));
        assert!(resolve(&nested(30), &json!({"input": [1]})).is_ok());
        for levels in [31, 32] {
            let problems = resolve(&nested(levels), &json!({"input": [1]})).unwrap_err();
            assert_eq!(problems[0].kind, ProblemKind::TooCostly(Bound::Depth));
        }

        let kind = |document: Value| Template::parse(data(&document)).err().unwrap().remove(0).kind;
        assert_eq!(kind(Value::from(vec!["$ 1"; 10_001])), ProblemKind::TooCostly(Bound::Expressions));
        let many = format!("$ [{}]", "1,".repeat(8_000));
        assert_eq!(kind(Value::from(vec![many; 13])), ProblemKind::TooCostly(Bound::Parts));
        let names = |many: usize| (0..many).map(|n| format!("$ secrets.s{n}")).collect::<Vec<_>>();
        assert!(Template::parse(data(&json!(names(1_000)))).is_ok());
        assert_eq!(kind(json!(names(1_001))), ProblemKind::TooCostly(Bound::Secrets));
        let each: String = (0..1_000).map(|n| format!("secrets.s{n},")).collect();
        let (key, many) = ("k".repeat(490), format!("$ [{each}]"));
        assert_eq!(kind(json!({ key: [&many, &many] })), ProblemKind::TooCostly(Bound::Places));
        let key = "k".repeat(600);
        assert_eq!(kind(json!({ key: "$ 1" })), ProblemKind::TooCostly(Bound::Pointer));
    }

    /// The deepest expressions that are accepted, on half the stack of a thread that serves requests.
    #[test]
    fn the_deepest_nesting_fits_the_stack() {
        let shapes: [(&str, &str, &str, usize); 17] = [
            ("(", "1", ")", 200),
            ("[", "1", "]", 32),
            ("{'a': ", "1", "}", 32),
            ("not ", "1", "", 200),
            ("- ", "1", "", 200),
            ("1 + ", "1", "", 200),
            ("1 + (", "1", ")", 100),
            ("1 if 0 else ", "1", "", 100),
            ("1 and (0 or ", "1", ")", 66),
            ("str(", "1", ")", 200),
            ("''.join([", "'a'", "])", 66),
            ("'%s' % (", "1", ",)", 100),
            ("[0][", "0", "]", 100),
            ("secrets.get('no', ", "1", ")", 100),
            ("f'{", "1", "}'", 100),
            ("1 < (", "1", ")", 100),
            ("f'{1:{", "1", "}}'", 50),
        ];
        let check = move || {
            for (open, middle, close, deepest) in shapes {
                let accepted = |depth: &usize| {
                    let expression = format!("{}{middle}{}", open.repeat(*depth), close.repeat(*depth));
                    evaluate(&expression).is_ok()
                };
                assert_eq!((1..=250).filter(accepted).max(), Some(deepest), "{open}");
            }
            for postfix in
                [".upper()", "[0]", ".a", "()", "[0:1]", " + 1", " if 1 else 0", " or 0", " < 1", " 1"]
            {
                for repeated in [60, 199, 200, 1_000] {
                    let _ = evaluate(&format!("'a'{}", postfix.repeat(repeated)));
                }
            }
        };
        std::thread::Builder::new().stack_size(1 << 20).spawn(check).unwrap().join().unwrap();
    }

    #[test]
    fn broken_nesting_is_refused() {
        for piece in
            ["(", "[", "{", "f'{", "f'{f\"{", "(,", "[)", "a.", "a[", "a(", "{a:", "{**", "not ", "\\\n"]
        {
            for repeated in [1, 10, 100, 150, 1_000] {
                assert!(evaluate(&piece.repeat(repeated)).is_err(), "{piece}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever stands there: an answer, and the same one again.
    #[test]
    fn never_fails_otherwise(expression in "(\\PC|[a-z_0-9.()\\[\\]{}'\"%:+,! ]|secrets|input|f'|str|not |if |else |in ){0,40}") {
        prop_assert_eq!(evaluate(&expression), evaluate(&expression));
    }

    #[test]
    fn plain_documents_stay_as_they_are(text in "[^$].*", key in ".*", number in any::<i32>()) {
        let document = json!({key: [text, number]});
        prop_assert_eq!(resolve(&document, &json!({})).unwrap(), document);
    }
}
