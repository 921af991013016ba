//! Problems: their places, their order, and that they show no value.

use super::*;

#[test]
fn reports_all_problems_with_their_places_and_resolves_nothing() {
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
fn a_missing_credential_is_reported_before_any_other_problem() {
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
