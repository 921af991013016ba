//! The examples of the guide for tasks: secrets as credentials and in expressions.

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
    // With the step's own input; and with the input of the request, which is used in place of it.
    for (inputs, query) in [(json!({}), "search query"), (json!({"input": "other"}), "other")] {
        let resolved = resolve(&task, &inputs).unwrap();
        let url = format!("https://api.example.com/v1?api_key=sk-123&query={query}");
        assert_eq!(resolved["steps"][0]["expression"], json!(url));
        assert_eq!(resolved["steps"][0]["input"], json!("search query"));
    }
    // Julep's name of the input.
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
