//! The commands `role`, `binding`, `key`, `explain` and `whoami`, against a live server: answers, refusals and dry runs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

use crate::harness::{Server, shared};

/// The command line with an API key. Its output is no terminal, so it prints JSON; its input is none, so it asks nothing.
#[derive(Clone, Copy)]
pub struct Cli<'a> {
    pub server: &'a Server,
    pub key: &'a str,
}

impl Cli<'_> {
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.args(arguments).stdin(Stdio::null());
        command.env("STRONGROOM_SERVER", &self.server.url).env("STRONGROOM_API_KEY", self.key);
        command.env_remove("STRONGROOM_NAMESPACE").output().unwrap()
    }

    /// What the command printed. It must succeed.
    pub fn json(&self, arguments: &[&str]) -> Json {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The exit code and the error of a command that must fail.
    pub fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?} succeeded");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Whether this key may read a secret of this name in the namespace: it is told that there is none.
    fn may_read(&self, namespace: &str, name: &str) -> bool {
        match self.refused(&["-n", namespace, "get", name]) {
            (1, _) => true,
            (77, _) => false,
            (code, error) => panic!("{code}: {error}"),
        }
    }
}

fn root() -> Cli<'static> {
    Cli { server: shared(), key: &shared().root_key }
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}

/// A new key without rights: its id, and the key itself.
fn key_without_rights(root: &Cli<'_>, home: &str) -> (String, String) {
    let made = root.json(&["key", "create", "a test", "--home", home, "--role", "none"]);
    (text(&made["id"]).to_owned(), text(&made["credential"]).to_owned())
}

#[test]
fn the_command_that_explain_names_gives_the_right_and_its_removal_takes_it() {
    let root = root();
    let (id, key) = key_without_rights(&root, "cli/remedy");
    let principal = format!("key:{id}");
    let own = Cli { key: &key, ..root };
    assert!(!own.may_read("cli/remedy", "token"));

    // One's own access can be asked for without any right.
    let asked = own.run(&["explain", "read", "cli/remedy", "--name", "token"]);
    assert_eq!(asked.status.code(), Some(77));
    let told: Json = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!((&told["allowed"], &told["binding"]), (&Json::Bool(false), &Json::Null));
    let stderr = String::from_utf8(asked.stderr).unwrap();
    assert!(
        stderr.contains("does not have the right 'read'") && stderr.contains("no binding gives it"),
        "{stderr}"
    );

    let remedy: Vec<_> = text(&told["remedy"]).split(' ').collect();
    assert_eq!(remedy[..3], ["strongroom", "binding", "add"]);
    let bound = root.json(&remedy[1..]);
    assert_eq!(
        (
            &bound["principal"],
            &bound["role"],
            &bound["namespace_pattern"],
            &bound["name_pattern"],
            &bound["effect"]
        ),
        (
            &principal.as_str().into(),
            &"reader".into(),
            &"cli/remedy".into(),
            &"token".into(),
            &"allow".into()
        )
    );
    assert!(own.may_read("cli/remedy", "token") && !own.may_read("cli/remedy", "other"));
    let told = own.json(&["explain", "read", "cli/remedy", "--name", "token"]);
    assert_eq!((&told["allowed"], &told["binding"]["id"]), (&Json::Bool(true), &bound["id"]));

    // A denial wins, and the remedy removes it.
    let deny = [
        "binding",
        "add",
        "--principal",
        &principal,
        "--role",
        "viewer",
        "--on",
        "cli/**",
        "--name",
        "t*",
        "--deny",
    ];
    let (code, error) = root.refused(&deny);
    assert!(code == 2 && error.contains("--yes") && error.contains("--dry-run"), "{error}");
    let denied = root.json(&[&deny[..], &["--yes"]].concat());
    assert_eq!(denied["effect"], "deny");
    let asked = root.run(&["explain", "list", "cli/remedy", "--name", "token", "--as", &principal]);
    assert_eq!(asked.status.code(), Some(77));
    let told: Json = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(told["binding"]["id"], denied["id"]);
    let remedy: Vec<_> = text(&told["remedy"]).split(' ').collect();
    root.json(&[&remedy[1..], &["--yes"]].concat());
    assert!(
        root.json(&["explain", "list", "cli/remedy", "--name", "token", "--as", &principal])["allowed"]
            == true
    );
}

#[test]
fn namespace_and_name_of_explain_are_told_apart_by_their_form() {
    let root = root();
    let told = |arguments: &[&str]| text(&root.json(arguments)["explanation"]).to_owned();
    assert!(told(&["explain", "read", "cli/explain/db_password"]).contains("'db_password' in 'cli/explain'"));
    assert!(told(&["explain", "read", "cli/explain"]).contains("some secret of 'cli/explain' at least"));
    assert!(told(&["explain", "read", "cli/explain", "--name", "db"]).contains("'db' in 'cli/explain'"));
    assert!(told(&["explain", "operate"]).contains("the service as a whole"));
    for wrong in [
        &["explain", "read", "db_password"][..],
        &["explain", "everything", "cli/explain"],
        &["explain", "read", "--name", "db"],
        &["explain", "read", "cli/explain/db_password", "--name", "db"],
    ] {
        assert_eq!(root.refused(wrong).0, 2, "{wrong:?}");
    }
    let (code, error) = root.refused(&["explain", "read", "cli/explain", "--as", "nobody"]);
    assert!(code == 1 && error.contains("--as: "), "{error}");
}

#[test]
fn a_key_is_made_for_some_names_and_nothing_else() {
    let root = root();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ci.key");
    let out = file.to_str().unwrap();
    let made =
        root.json(&["key", "create", "ci", "--role", "reader", "--on", "cli/names/db_*", "--out", out]);
    assert_eq!((&made["home_namespace"], &made["credential_file"]), (&"cli/names".into(), &out.into()));
    assert_eq!(made.get("credential"), None);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = std::fs::read_to_string(&file).unwrap();
    let own = Cli { key: key.trim(), ..root };
    assert!(
        own.may_read("cli/names", "db_a") && !own.may_read("cli/names", "a") && !own.may_read("cli", "db_a")
    );

    let bindings = serde_json::json!([{
        "role": "reader", "namespace_pattern": "cli/names", "name_pattern": "db_*",
    }]);
    assert_eq!(made["bindings"], bindings);

    // A scope that cannot be is refused before a key is made.
    for (on, told) in [
        ("cli/names/deploy-*", "the name 'deploy-*' must be"),
        ("cli//names/db_*", "the namespace 'cli//names' must"),
    ] {
        let (code, error) = root.refused(&["key", "create", "odd scope", "--role", "reader", "--on", on]);
        assert!(code == 2 && error.contains("--on") && error.contains(told), "{error}");
        assert!(!error.contains("--name"), "{error}");
    }
    let keys = root.json(&["key", "list"]);
    assert!(keys["items"].as_array().unwrap().iter().all(|key| key["name"] != "odd scope"));

    // No file is replaced, and no key is made for it.
    let before = root.json(&["key", "list"])["items"].as_array().unwrap().len();
    let (code, error) = root.refused(&["key", "create", "ci", "--out", out]);
    assert!(code == 2 && error.contains("exists"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key);
    assert!(root.json(&["key", "list"])["items"].as_array().unwrap().len() >= before);

    // A key that cannot get its role is revoked, and its file is gone.
    let other = folder.path().join("other.key");
    let arguments = ["key", "create", "no role", "--role", "missing", "--on", "cli/names/db_*", "--out"];
    let (code, error) = root.refused(&[&arguments[..], &[other.to_str().unwrap()]].concat());
    assert!(code == 1 && error.contains("There is no role 'missing'"), "{error}");
    assert!(!other.exists());
    let keys = root.json(&["key", "list"]);
    let left = keys["items"].as_array().unwrap().iter().find(|key| key["name"] == "no role").unwrap();
    assert!(left["revoked_at"].is_string());
}

#[test]
fn a_rotated_key_keeps_its_bindings_and_the_former_one_ends() {
    let root = root();
    let made = root.json(&["key", "create", "rotated", "--role", "reader", "--on", "cli/rotate"]);
    let (id, first) = (text(&made["id"]), text(&made["credential"]));
    // A key may rotate itself.
    let own = Cli { key: first, ..root };
    let second = own.json(&["key", "rotate", id, "--overlap", "1h"]);
    assert_eq!(second["id"], made["id"]);
    assert!(second["rotated_at"].is_string());
    let second = Cli { key: text(&second["credential"]), ..own };
    assert!(own.may_read("cli/rotate", "a") && second.may_read("cli/rotate", "a"));
    let third = root.run(&["key", "rotate", id, "--out", "-"]);
    let third = String::from_utf8(third.stdout).unwrap();
    assert!(Cli { key: third.trim(), ..root }.may_read("cli/rotate", "a"));
    assert!(!own.may_read("cli/rotate", "a") && !second.may_read("cli/rotate", "a"));
}

#[test]
fn a_dry_run_says_who_loses_what_and_changes_nothing() {
    let root = root();
    let (id, key) = key_without_rights(&root, "cli/dry");
    let principal = format!("key:{id}");
    let own = Cli { key: &key, ..root };
    root.json(&[
        "role",
        "create",
        "cli_dry",
        "--right",
        "list",
        "--right",
        "read",
        "--description",
        "a test",
    ]);
    let add = ["binding", "add", "--principal", &principal, "--role", "cli_dry", "--on", "cli/dry"];
    let planned = root.json(&[&add[..], &["--dry-run"]].concat());
    assert_eq!((&planned["dry_run"], &planned["differences"]), (&Json::Bool(true), &Json::Array(Vec::new())));
    assert!(!own.may_read("cli/dry", "a"));
    let binding = root.json(&[&add[..], &["--expires-in", "1h"]].concat());
    let id_of_binding = text(&binding["id"]);

    let lost = |arguments: &[&str]| {
        let told = root.json(arguments);
        let differences = told["differences"].as_array().unwrap().clone();
        let told = |one: &Json| {
            let rights: Vec<_> = one["rights"].as_array().unwrap().iter().map(text).collect();
            let on = format!("{} {}", text(&one["namespace_pattern"]), text(&one["name_pattern"]));
            format!("{} {} {} {on}", text(&one["principal"]), text(&one["effect"]), rights.join("+"))
        };
        differences.iter().map(told).collect::<Vec<_>>()
    };
    let all = [format!("{principal} loses list+read cli/dry *")];
    assert_eq!(lost(&["binding", "remove", id_of_binding, "--dry-run"]), all);
    assert_eq!(lost(&["key", "revoke", &id, "--dry-run"]), all);
    let deny = [
        "binding",
        "add",
        "--principal",
        &principal,
        "--role",
        "viewer",
        "--on",
        "cli/**",
        "--name",
        "db_*",
        "--deny",
    ];
    assert_eq!(lost(&[&deny[..], &["--dry-run"]].concat()), [format!("{principal} loses list cli/** db_*")]);
    let (code, error) = root.refused(&["role", "delete", "cli_dry", "--dry-run"]);
    assert!(code == 1 && error.contains(id_of_binding) && error.contains(&principal), "{error}");
    assert!(own.may_read("cli/dry", "a"));

    // Without --yes and without a terminal, nothing is taken away.
    for command in
        [&["binding", "remove", id_of_binding][..], &["key", "revoke", &id], &["role", "delete", "cli_dry"]]
    {
        assert_eq!(root.refused(command).0, 2, "{command:?}");
    }
    let (code, error) = root.refused(&["role", "delete", "cli_dry", "--yes"]);
    assert!(code == 1 && error.contains("cli_dry"), "{error}");
    assert!(own.may_read("cli/dry", "a"));

    root.json(&["binding", "remove", id_of_binding, "--yes"]);
    assert!(!own.may_read("cli/dry", "a"));
    assert!(
        root.json(&["role", "delete", "cli_dry", "--dry-run"])["differences"].as_array().unwrap().is_empty()
    );
    root.json(&["role", "delete", "cli_dry", "--yes"]);
    assert!(
        root.refused(&["role", "delete", "cli_dry", "--dry-run"]).1.contains("There is no role 'cli_dry'")
    );
    let revoked = root.json(&["key", "revoke", &id, "--yes"]);
    assert!(revoked["revoked_at"].is_string());
    assert_eq!(root.refused(&["key", "revoke", &id, "--dry-run"]).0, 1);
    assert_eq!(root.refused(&["binding", "remove", id_of_binding, "--dry-run"]).0, 1);
}

#[test]
fn lists_show_what_the_caller_manages_and_others_are_denied() {
    let root = root();
    let (id, key) = key_without_rights(&root, "cli/lists");
    let principal = format!("key:{id}");
    let bind = |role: &str, on: &str| {
        text(&root.json(&["binding", "add", "--principal", &principal, "--role", role, "--on", on])["id"])
            .to_owned()
    };
    let (viewer, reader) = (bind("viewer", "cli/lists"), bind("reader", "cli/lists/**"));
    let ids = |arguments: &[&str]| {
        let listed = root.json(&[&["binding", "list", "--principal", &principal][..], arguments].concat());
        listed["items"].as_array().unwrap().iter().map(|one| text(&one["id"]).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&[]), [viewer.clone(), reader.clone()]);
    let of_role = ids(&["--role", "reader"]);
    assert_eq!(of_role, [reader.as_str()]);
    assert_eq!(ids(&["--on", "cli/lists/below"]), [reader]);
    let (code, error) = root.refused(&["binding", "list", "--on", "Cli"]);
    assert!(code == 1 && error.contains("--on: "), "{error}");

    let roles = root.json(&["role", "list"]);
    let admin = roles["items"].as_array().unwrap().iter().find(|role| role["name"] == "admin").unwrap();
    assert_eq!((&admin["built_in"], admin["rights"].as_array().unwrap().len()), (&Json::Bool(true), 8));

    let me = Cli { key: &key, ..root }.json(&["whoami"]);
    assert_eq!((&me["principal"], &me["home_namespace"]), (&principal.as_str().into(), &"cli/lists".into()));
    assert_eq!(me["rights"], serde_json::json!(["list", "read"]));
    for command in [
        &["role", "list"][..],
        &["role", "create", "x", "--right", "list"],
        &["role", "delete", "x", "--yes"],
        &["binding", "list"],
        &["binding", "add", "--principal", &principal, "--role", "reader", "--on", "**"],
        &["binding", "remove", &viewer, "--yes"],
        &["key", "list"],
        &["key", "create", "x"],
        &["key", "revoke", &id, "--yes"],
        &["explain", "read", "cli/lists", "--as", "group:corp:ops"],
    ] {
        assert_eq!(Cli { key: &key, ..root }.refused(command).0, 77, "{command:?}");
    }
}

/// The bytes of a file that must not have the mark of another user.
pub fn private(file: &Path) -> String {
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::read_to_string(file).unwrap().trim().to_owned()
}
