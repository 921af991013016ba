//! Hostile documents: each is refused before it costs much, and within the stack of a thread.

use super::*;

#[test]
fn the_documented_bounds_are_those_of_the_code() {
    let page = include_str!("../../../docs/references.md");
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

/// Evaluates the deepest expressions that are accepted, on half the stack of a thread that serves requests.
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
        for postfix in [".upper()", "[0]", ".a", "()", "[0:1]", " + 1", " if 1 else 0", " or 0", " < 1", " 1"]
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
    for piece in ["(", "[", "{", "f'{", "f'{f\"{", "(,", "[)", "a.", "a[", "a(", "{a:", "{**", "not ", "\\\n"]
    {
        for repeated in [1, 10, 100, 150, 1_000] {
            assert!(evaluate(&piece.repeat(repeated)).is_err(), "{piece}");
        }
    }
}
