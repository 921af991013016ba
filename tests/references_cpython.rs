//! Expressions mean what they mean in Python: many are generated, and evaluated here and by CPython.
//!
//! `REFERENCES_CASES` and `REFERENCES_SEED` choose how many and which; the default is the same at every run.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)] // a test that fails should stop

use std::env;
use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use strongroom::domain::SecretName;
use strongroom::reference::{Data, ProblemKind, SecretLookup, Template};

/// The other side: reads a JSON list of expressions, and prints one of what each gives, null where it fails. Numbers are
/// texts with their type, as JSON does not tell 1 from 1.0, and floats their bits. What our results cannot hold counts as failure.
const PYTHON: &str = r#"
import base64 as b64, json as js, math, struct, sys, urllib.parse as url

class Fields(dict):
    def __getattr__(self, name):
        if name in self: return self[name]
        raise AttributeError

def fields(data):
    if isinstance(data, dict): return Fields((key, fields(value)) for key, value in data.items())
    if isinstance(data, list): return [fields(item) for item in data]
    return data

def urlencode(data):
    if isinstance(data, str): return url.quote(data, safe="")
    if not isinstance(data, dict) or any(isinstance(v, (list, dict)) for v in data.values()): raise TypeError
    return url.urlencode(data)

def tagged(data):
    if data is None: return ["null"]
    if isinstance(data, bool): return ["bool", data]
    if isinstance(data, int):
        if abs(data) > 2**53: raise ValueError
        return ["int", str(data)]
    if isinstance(data, float):
        if not math.isfinite(data): raise ValueError
        return ["float", struct.pack(">d", data).hex()]
    if isinstance(data, str): return ["text", data]
    if isinstance(data, list): return ["list", [tagged(item) for item in data]]
    if isinstance(data, dict): return ["map", [[tagged(key), tagged(value)] for key, value in data.items()]]
    raise TypeError

given = js.load(sys.stdin)
names = {
    "__builtins__": {}, "_": fields(given["input"]), "input": fields(given["input"]), "inputs": fields(given["inputs"]),
    "secrets": fields(given["secrets"]), "str": lambda data: str(data), "len": len, "upper": str.upper, "lower": str.lower,
    "strip": str.strip, "replace": str.replace, "join": str.join, "split": str.split, "json": lambda data: js.dumps(data),
    "base64": lambda text: b64.b64encode(text.encode()).decode(), "urlencode": urlencode,
}
results = []
for expression in given["expressions"]:
    try: results.append(tagged(eval(expression, dict(names))))
    except Exception as error: results.append(None)
js.dump(results, sys.stdout)
"#;

struct Known(Value);

impl SecretLookup for Known {
    fn value(&self, name: &SecretName) -> Result<Data, ProblemKind> {
        let found = self.0.get(name.as_str()).map(|text| Data::text(text.as_str().unwrap()));
        found.ok_or_else(|| ProblemKind::MissingSecret(name.clone()))
    }
}

#[test]
fn agrees_with_cpython() {
    let cases = setting("REFERENCES_CASES", 6_000);
    let expressions = generate(cases, setting("REFERENCES_SEED", 1));
    let input =
        json!({"name": "Ada", "n": 7, "f": 2.5, "tags": ["b", "a", "é"], "deep": {"k": [1, null, true]}});
    let inputs = json!({"region": "eu", "ratio": 0.1, "big": 4503599627370497i64});
    let secrets = json!({"api_key": "sk-123", "db_host": "db.internal", "odd": "a'b\"c\n\u{e9}{x}%s$"});
    let Some(expected) = python(&json!({
        "expressions": expressions, "input": input, "inputs": inputs, "secrets": secrets
    })) else {
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "python3 is needed");
        println!("SKIPPED: there is no python3 to compare with");
        return;
    };

    let mut all = inputs.clone();
    all["input"] = input;
    let (all, known) = (data(&all), Known(secrets));
    let (mut values, mut failures, mut beyond) = (0, 0, 0);
    let mut wrong = Vec::new();
    for (expression, expected) in expressions.iter().zip(&expected) {
        let got = Template::parse(Data::text(format!("$ {expression}")))
            .and_then(|template| template.evaluate(&all, &known))
            .map(|resolved| tagged(&resolved.document))
            .map_err(|problems| problems[0].kind.clone());
        match (got, expected) {
            (Ok(got), expected) if got == *expected => values += 1,
            (Err(_), Value::Null) => failures += 1,
            (Err(kind), _) if is_of_size(&kind) => beyond += 1,
            (got, expected) => wrong.push(format!("{expression}\n  here {got:?}\n  CPython {expected}")),
        }
    }
    println!(
        "{cases} expressions: {values} gave the same value, {failures} failed in both, {beyond} need larger numbers \
         than there are here, {} disagreed",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{} disagree:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
    assert!(
        expressions.len() == expected.len() && values * 2 > cases,
        "too few gave a value to mean anything"
    );
}

/// Python's whole numbers have no bound, and its floats can be infinite.
fn is_of_size(kind: &ProblemKind) -> bool {
    let text = kind.to_string();
    matches!(kind, ProblemKind::Value(_))
        && ["64 bits", "2**53", "a double can hold", "too large"].iter().any(|part| text.contains(part))
}

fn setting(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |number| number.parse().unwrap())
}

fn python(given: &Value) -> Option<Vec<Value>> {
    let command = Command::new("python3")
        .args(["-I", "-W", "ignore", "-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = command.ok()?;
    child.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "python3 failed");
    Some(serde_json::from_slice(&output.stdout).unwrap())
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

fn tagged(data: &Data) -> Value {
    match data {
        Data::Null => json!(["null"]),
        Data::Bool(bool) => json!(["bool", bool]),
        Data::Int(int) => json!(["int", int.to_string()]),
        Data::Float(float) => json!(["float", format!("{:016x}", float.to_bits())]),
        Data::Text(text) => json!(["text", text.as_str()]),
        Data::Bytes(_) => panic!("bytes in a result"),
        Data::List(items) => json!(["list", items.iter().map(tagged).collect::<Vec<_>>()]),
        Data::Map(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(key, value)| json!([["text", key], tagged(value)])).collect();
            json!(["map", fields])
        }
    }
}

fn generate(cases: usize, seed: usize) -> Vec<String> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(seed as u64).to_le_bytes());
    let mut runner =
        TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let strategy = any_expression();
    (0..cases).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

type Source = BoxedStrategy<String>;

fn any_expression() -> Source {
    prop_oneof![
        4 => text(3), 2 => int(3), 2 => float(3), 2 => truth(3), 2 => list(3), 1 => map(3),
        // Values of any type where there is an operator for some.
        1 => (mixed(2), select(vec!["+", "-", "/", "//", "<", "==", "in", "and", "or", "%"]), mixed(2))
            .prop_map(|(a, operator, b)| format!("({a}) {operator} ({b})")),
        1 => (mixed(2), select(vec!["upper()", "split()", "strip()"])).prop_map(|(a, call)| format!("({a}).{call}")),
        1 => (mixed(2), mixed(1)).prop_map(|(a, b)| format!("({a})[{b}]")),
    ]
    .boxed()
}

fn mixed(depth: u32) -> Source {
    prop_oneof![
        text(depth),
        int(depth),
        float(depth),
        truth(depth),
        list(depth),
        map(depth),
        Just("None".to_owned())
    ]
    .boxed()
}

/// A text as Python source.
fn literal(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '\\' | '\'' => format!("\\{c}"),
            '\n' => "\\n".to_owned(),
            c if c.is_control() => format!("\\x{:02x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("'{escaped}'")
}

fn constant_text() -> Source {
    let character = prop_oneof![
        6 => proptest::char::range('a', 'f'),
        3 => select(" ,./&=%{}$~+-_\"'\\A9".chars().collect::<Vec<_>>()),
        2 => select("éßİΣςŁ中😀\u{301}\u{a0}\u{ad}\u{200b}\u{2028}\u{fffd}\u{e000}".chars().collect::<Vec<_>>()),
        1 => select("\t\n\r\0\u{1c}\u{7f}\u{85}\u{c}\u{8}".chars().collect::<Vec<_>>()),
    ];
    proptest::collection::vec(character, 0..7)
        .prop_map(|chars| literal(&chars.into_iter().collect::<String>()))
        .boxed()
}

fn named_text() -> Source {
    select(vec![
        "_.name",
        "input['name']",
        "inputs.region",
        "secrets.api_key",
        "secrets['odd']",
        "secrets.get('db_host')",
        "secrets.get('missing', 'none')",
        "_.tags[0]",
        "secrets.odd",
    ])
    .prop_map(str::to_owned)
    .boxed()
}

fn text(depth: u32) -> Source {
    let leaf = prop_oneof![constant_text(), named_text()].boxed();
    if depth == 0 {
        return leaf;
    }
    let (a, b) = (text(depth - 1), text(depth - 1));
    prop_oneof![
        2 => leaf,
        3 => (a.clone(), b.clone()).prop_map(|(a, b)| format!("{a} + {b}")),
        2 => (a.clone(), select(vec!["upper", "lower", "strip", "split"])).prop_map(|(a, f)| format!("{f}({a})")),
        2 => (a.clone(), select(vec!["upper()", "lower()", "strip()"])).prop_map(|(a, f)| format!("({a}).{f}")),
        2 => (a.clone(), b.clone(), leaf_text()).prop_map(|(a, b, c)| format!("({a}).replace({b}, {c})")),
        1 => (a.clone(), b.clone(), -1..3i64).prop_map(|(a, b, n)| format!("replace({a}, {b}, 'xy', {n})")),
        1 => (a.clone(), b.clone()).prop_map(|(a, b)| format!("({a}).strip({b})")),
        2 => (leaf_text(), texts(depth - 1)).prop_map(|(a, list)| format!("{a}.join({list})")),
        1 => (a.clone(), b.clone()).prop_map(|(a, b)| format!("join({a}, ({b}, 'z'))")),
        2 => mixed(depth - 1).prop_map(|a| format!("str({a})")),
        2 => mixed(depth - 1).prop_map(|a| format!("json({a})")),
        1 => a.clone().prop_map(|a| format!("base64({a})")),
        1 => a.clone().prop_map(|a| format!("urlencode({a})")),
        1 => (a.clone(), mixed(0)).prop_map(|(a, b)| format!("urlencode({{{a}: {b}, 'k': 1.5}})")),
        5 => f_string(),
        4 => percent(depth - 1),
        1 => (a.clone(), -4..4i64).prop_map(|(a, at)| format!("({a})[{at}]")),
        2 => (a.clone(), slice_bounds()).prop_map(|(a, bounds)| format!("({a})[{bounds}]")),
        1 => (a.clone(), truth(depth - 1), b.clone()).prop_map(|(a, test, b)| format!("({a} if {test} else {b})")),
        1 => (a.clone(), b.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
        1 => (a, b).prop_map(|(a, b)| format!("({a} and {b})")),
    ]
    .boxed()
}

fn leaf_text() -> Source {
    text(0)
}

fn slice_bounds() -> Source {
    let bound = prop_oneof![Just(String::new()), (-6..7i64).prop_map(|n| n.to_string())];
    let step = select(vec!["", ":", ":1", ":2", ":-1", ":-3", ":0", ":9223372036854775807"]);
    (bound.clone(), bound, step).prop_map(|(from, to, step)| format!("{from}:{to}{step}")).boxed()
}

/// What CPython before 3.12 takes in a field: no quotes and no backslashes.
fn f_string() -> Source {
    let plain = select(vec!["a", " ", "{{", "}}", "é", "%", "$ "]).prop_map(str::to_owned);
    let texts = select(vec!["_.name", "secrets.api_key", "secrets.odd", "inputs.region"]);
    let text_spec = (alignment(), 0..12usize, select(vec!["", ".0", ".2", ".20"]), select(vec!["", "s"]))
        .prop_map(|(align, width, precision, kind)| format!("{align}{}{precision}{kind}", width_text(width)));
    let text_field = (texts, select(vec!["", "!r", "!s", "!a"]), text_spec);
    let text_field = text_field.prop_map(|(name, conversion, spec)| format!("{{{name}{conversion}:{spec}}}"));
    let number_field =
        (number_atom(), number_spec()).prop_map(|(number, spec)| format!("{{{number}:{spec}}}"));
    let bare = (
        select(vec![
            "_.tags",
            "_.deep",
            "None",
            "True",
            "_",
            "inputs.ratio",
            "1.0",
            "1e100",
            "-0.0",
            "_.n",
            "secrets.odd",
        ]),
        select(vec!["", "!r", "!a"]),
    );
    let bare = bare.prop_map(|(name, conversion)| format!("{{{name}{conversion}}}"));
    let nested = (1..9i64).prop_map(|width| format!("{{_.name:{{{width} + 1}}}}"));
    let piece = prop_oneof![2 => plain, 3 => text_field, 4 => number_field, 2 => bare, 1 => nested];
    (proptest::collection::vec(piece, 0..4), proptest::option::of(constant_text()))
        .prop_map(|(pieces, beside)| {
            format!("f'{}'{}", pieces.concat(), beside.map_or(String::new(), |t| format!(" {t}")))
        })
        .boxed()
}

fn alignment() -> Source {
    select(vec!["", "", "<", ">", "^", "*<", "é>", "0^", "=", "x=", " >"]).prop_map(str::to_owned).boxed()
}

fn width_text(width: usize) -> String {
    if width == 0 { String::new() } else { width.to_string() }
}

fn number_atom() -> Source {
    prop_oneof![
        (-2000..2000i64).prop_map(|n| n.to_string()),
        any::<i32>().prop_map(|n| n.to_string()),
        constant_float(),
        select(vec!["_.n", "_.f", "inputs.ratio", "inputs.big", "True", "(_.n / 3)", "-inputs.big * 7"])
            .prop_map(str::to_owned),
    ]
    .boxed()
}

fn number_spec() -> Source {
    let sign = select(vec!["", "+", "-", " "]);
    let zero = select(vec!["", "", "0"]);
    let kind = select(vec!["", "d", "b", "o", "x", "X", "#x", "#o", "e", "E", "f", "F", "g", "G", "%"]);
    let precision = prop_oneof![Just(String::new()), (0..18usize).prop_map(|p| format!(".{p}"))];
    let grouping = select(vec!["", "", "", ",", "_"]);
    (alignment(), sign, zero, 0..14usize, grouping, precision, kind)
        .prop_map(|(align, sign, zero, width, grouping, precision, kind)| {
            let (alternate, kind) = kind.strip_prefix('#').map_or(("", kind), |kind| ("#", kind));
            // Filling groups with zeros is not supported here.
            let inner_zero = !zero.is_empty() || align == "0^";
            let grouping = if inner_zero { "" } else { grouping };
            format!("{align}{sign}{alternate}{zero}{}{grouping}{precision}{kind}", width_text(width))
        })
        .boxed()
}

fn percent(depth: u32) -> Source {
    let flags = select(vec!["", "-", "0", "+", " ", "#", "-0", "0+"]);
    let conversion =
        (flags, 0..9usize, select(vec!["", ".0", ".3", "."]), select("srda".chars().collect::<Vec<_>>()))
            .prop_map(|(flags, width, precision, kind)| {
                let precision = if kind == 'd' { "" } else { precision };
                format!("{flags}{}{precision}{kind}", width_text(width))
            });
    let number = (
        select(vec!["", "-", "0", "+", " ", "0+"]),
        0..14usize,
        prop_oneof![Just(String::new()), (0..10usize).prop_map(|p| format!(".{p}"))],
        select("diuxXoeEfFgG".chars().collect::<Vec<_>>()),
    )
        .prop_map(|(flags, width, precision, kind)| {
            let precision = if "diuxXo".contains(kind) { String::new() } else { precision };
            format!("{flags}{}{precision}{kind}", width_text(width))
        });
    prop_oneof![
        (conversion.clone(), mixed(depth)).prop_map(|(c, value)| format!("'<%{c}>%%' % ({value},)")),
        (conversion, text(depth)).prop_map(|(c, value)| format!("'%{c}|' % ({value})")),
        (number.clone(), number_atom()).prop_map(|(c, value)| format!("'%{c}|' % ({value},)")),
        (number.clone(), number_atom(), text(0)).prop_map(|(c, a, b)| format!("'é%{c}%s' % ({a}, {b})")),
        number.prop_map(|c| format!("'%(n){c} %(name)s' % _")),
        (constant_text(), mixed(0)).prop_map(|(template, value)| {
            // Any text before the operator: only conversions that are supported may stand in it.
            format!("{} % {value}", template.replace('%', "%%"))
        }),
    ]
    .boxed()
}

fn constant_float() -> Source {
    prop_oneof![
        (-1000.0..1000.0f64).prop_map(|f| format!("{f:?}")),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| format!("{f:e}")),
        select(vec![
            "0.0",
            "-0.0",
            "1e16",
            "1e-5",
            "0.1",
            "2.5",
            "1e22",
            "123456789.0",
            "9999999999999998.0",
            "0.5",
            "1.5"
        ])
        .prop_map(str::to_owned),
    ]
    .boxed()
}

fn int(depth: u32) -> Source {
    let leaf = prop_oneof![
        4 => (-20..20i64).prop_map(|n| n.to_string()),
        1 => any::<i64>().prop_filter("representable", |n| *n > i64::MIN).prop_map(|n| n.to_string()),
        1 => select(vec!["_.n", "inputs.big", "0x1f", "1_000", "0b11", "0o17"]).prop_map(str::to_owned),
    ]
    .boxed();
    if depth == 0 {
        return leaf;
    }
    let (a, b) = (int(depth - 1), int(depth - 1));
    prop_oneof![
        2 => leaf,
        4 => (a.clone(), select(vec!["+", "-", "*", "//", "%"]), b.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        1 => a.clone().prop_map(|a| format!("-{a}")),
        1 => a.clone().prop_map(|a| format!("+({a})")),
        1 => text(depth - 1).prop_map(|a| format!("len({a})")),
        1 => list(depth - 1).prop_map(|a| format!("len({a})")),
        1 => (truth(depth - 1), a).prop_map(|(t, a)| format!("({t} + {a})")),
    ]
    .boxed()
}

fn float(depth: u32) -> Source {
    let leaf =
        prop_oneof![constant_float(), select(vec!["_.f", "inputs.ratio"]).prop_map(str::to_owned)].boxed();
    if depth == 0 {
        return leaf;
    }
    let number = prop_oneof![float(depth - 1), int(depth - 1)];
    prop_oneof![
        2 => leaf,
        4 => (number.clone(), select(vec!["+", "-", "*", "/", "//", "%"]), number.clone())
            .prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        1 => number.prop_map(|a| format!("-({a})")),
    ]
    .boxed()
}

fn truth(depth: u32) -> Source {
    let leaf = select(vec!["True", "False"]).prop_map(str::to_owned).boxed();
    if depth == 0 {
        return leaf;
    }
    let compare = select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let number = prop_oneof![int(depth - 1), float(depth - 1), truth(depth - 1)];
    prop_oneof![
        1 => leaf,
        2 => (text(depth - 1), compare.clone(), text(depth - 1)).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        3 => (number.clone(), compare.clone(), number.clone(), compare.clone(), number)
            .prop_map(|(a, o, b, p, c)| format!("({a} {o} {b} {p} {c})")),
        2 => (list(depth - 1), compare, list(depth - 1)).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        1 => (map(depth - 1), select(vec!["==", "!="]), map(depth - 1)).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        2 => (text(0), select(vec!["in", "not in"]), text(depth - 1)).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        2 => (mixed(0), select(vec!["in", "not in"]), list(depth - 1)).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        1 => (mixed(0), select(vec!["in", "not in"]), map(depth - 1)).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        1 => (text(0), text(0), text(0)).prop_map(|(a, b, c)| format!("({a} in ({b}, {c}))")),
        2 => mixed(depth - 1).prop_map(|a| format!("(not {a})")),
        1 => mixed(depth - 1).prop_map(|a| format!("({a} is None)")),
        1 => mixed(depth - 1).prop_map(|a| format!("({a} is not None)")),
        1 => (truth(depth - 1), select(vec!["and", "or"]), truth(depth - 1)).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
    ]
    .boxed()
}

fn texts(depth: u32) -> Source {
    prop_oneof![
        proptest::collection::vec(text(depth), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
        Just("_.tags".to_owned()),
    ]
    .boxed()
}

fn list(depth: u32) -> Source {
    let leaf = select(vec!["[]", "_.tags", "_.deep.k", "[1, 'a', None]"]).prop_map(str::to_owned).boxed();
    if depth == 0 {
        return leaf;
    }
    let limit = -1..3i64;
    prop_oneof![
        1 => leaf,
        3 => proptest::collection::vec(mixed(depth - 1), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
        1 => (list(depth - 1), list(depth - 1)).prop_map(|(a, b)| format!("({a} + {b})")),
        1 => (list(depth - 1), slice_bounds()).prop_map(|(a, bounds)| format!("{a}[{bounds}]")),
        2 => (text(depth - 1), leaf_text()).prop_map(|(a, b)| format!("({a}).split({b})")),
        1 => (text(depth - 1), leaf_text(), limit.clone()).prop_map(|(a, b, n)| format!("split({a}, {b}, {n})")),
        1 => (text(depth - 1), limit).prop_map(|(a, n)| format!("({a}).split(None, {n})")),
    ]
    .boxed()
}

fn map(depth: u32) -> Source {
    let leaf = select(vec!["{}", "_", "_.deep", "{'a': 1}"]).prop_map(str::to_owned).boxed();
    if depth == 0 {
        return leaf;
    }
    let fields = proptest::collection::vec((text(depth - 1), mixed(depth - 1)), 0..4);
    prop_oneof![
        1 => leaf,
        3 => fields.prop_map(|fields| {
            let fields: Vec<_> = fields.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
            format!("{{{}}}", fields.join(", "))
        }),
    ]
    .boxed()
}
