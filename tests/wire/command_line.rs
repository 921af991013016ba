//! The command line as it is used in scripts: files, standard input and output, and what is done twice.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::harness::{Launch, Server, shared};

/// A folder in which commands run, each for one namespace.
struct Shell<'a> {
    server: &'a Server,
    namespace: &'a str,
    folder: TempDir,
}

/// What a command did.
struct Done {
    code: Option<i32>,
    stdout: Vec<u8>,
    told: String,
}

impl Done {
    fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }
}

impl<'a> Shell<'a> {
    fn new(server: &'a Server, namespace: &'a str) -> Self {
        Self { server, namespace, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs a command with this standard input.
    fn fed(&self, input: impl AsRef<[u8]>, arguments: &[&str]) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.args(["-n", self.namespace]).args(arguments).current_dir(self.folder.path());
        command.env("STRONGROOM_SERVER", &self.server.url).env("STRONGROOM_API_KEY", &self.server.root_key);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref().to_vec();
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        Done { code: output.status.code(), stdout: output.stdout, told }
    }

    fn run(&self, arguments: &[&str]) -> Done {
        self.fed("", arguments)
    }

    /// Runs a command that succeeds, and returns its standard output.
    fn done(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.told);
        done.text()
    }

    /// Runs a command that fails, and returns its exit code and its message.
    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let done = self.run(arguments);
        assert_ne!(done.code, Some(0), "{arguments:?}");
        (done.code.unwrap(), done.told)
    }

    fn create(&self, name: &str, value: &str) {
        let done = self.fed(value, &["create", name, "--value-file", "-"]);
        assert_eq!(done.code, Some(0), "{}", done.told);
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.done(arguments)).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_policy_is_paused_and_goes_on_as_it_was() {
    let server = Launch::in_memory().start();
    let shell = Shell::new(&server, "pause");
    shell.create("a", "1");
    let set = shell.json(&[
        "policy",
        "set",
        "a",
        "--every",
        "90d",
        "--window",
        "02:00-04:00",
        "--generate",
        "hex:32",
    ]);
    let paused = shell.json(&["policy", "pause", "a"]);
    assert_eq!(paused["rotation_policy"]["paused"], true);
    assert_eq!(paused["rotation_policy"]["generator"], "hex:32");
    assert_eq!(shell.json(&["policy", "pause", "a"])["etag"], paused["etag"]);
    let resumed = shell.json(&["policy", "resume", "a"]);
    assert_eq!(resumed["rotation_policy"], set["rotation_policy"]);
    assert!(shell.done(&["policy", "show", "a", "-o", "table"]).contains("every 90days"));
    let (code, told) = shell.refused(&["policy", "set", "a", "--paused"]);
    assert!(code == 2 && told.contains("policy pause"), "{told}");
    shell.create("b", "1");
    assert_eq!(shell.refused(&["policy", "pause", "b"]).0, 2);
    server.stop().await;
}

#[tokio::test]
async fn an_argument_that_is_no_text_is_a_usage_error() {
    for arguments in [&["get"][..], &["list", "--prefix"], &["serve", "--listen"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.args(arguments).arg(std::ffi::OsStr::from_bytes(b"\xff"));
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && told.starts_with("error: "), "{arguments:?}: {told}");
    }
}

#[tokio::test]
async fn a_hyphen_is_standard_input_or_output_wherever_a_file_is_named() {
    // A server of its own, because it is restored.
    let server = Launch::in_memory().start();
    let shell = Shell::new(&server, "hyphen");
    shell.create("secret", "before");
    let backup = shell.run(&["backup", "-"]);
    assert!(backup.code == Some(0) && backup.told.starts_with("note: the backup has "), "{}", backup.told);
    shell.create("later", "x");
    let checked = shell.fed(&backup.stdout, &["backup", "--check", "-", "-o", "json"]);
    assert!(
        checked.code == Some(0) && checked.text().contains("\"file\": \"standard input\""),
        "{}",
        checked.told
    );
    let restored = shell.fed(&backup.stdout, &["restore", "--yes", "-"]);
    assert_eq!(restored.code, Some(0), "{}", restored.told);
    assert_eq!(shell.json(&["list"])["total_size"], 1);

    let injected = shell.fed("key={{ secrets.secret }}", &["inject", "-o", "-"]);
    assert_eq!((injected.text().as_str(), injected.told.as_str()), ("key=before", ""));
    assert_eq!(shell.done(&["export", "--yes", "--format", "env", "-o", "-"]), "secret=before\n");
    assert!(shell.done(&["master-key", "generate", "--out", "-"]).starts_with("srmk_"));
    assert!(shell.done(&["key", "create", "k", "--out", "-"]).starts_with("srk_"));
    assert!(!shell.path("-").exists());
}

#[test]
fn templates_have_the_format_of_their_names_without_the_ending() {
    let shell = Shell::new(shared(), "inject-names");
    shell.create("key", "it's");
    let json = "{\"key\": \"$ secrets.key\"}";
    let yaml = "key: $ secrets.key\n";
    for (name, text, expected) in [
        ("c.yaml.tpl", yaml, "key: \"it's\"\n"),
        ("c.yml.tmpl", yaml, "key: \"it's\"\n"),
        ("c.yaml.j2", yaml, "key: \"it's\"\n"),
        ("c.json.in", json, "{\"key\": \"it's\"}"),
        ("c.json.dist", json, "{\"key\": \"it's\"}"),
        (
            "c.jsonc",
            "{ // \"$ x\"\n\"key\": \"$ secrets.key\", /* , */ }",
            "{ // \"$ x\"\n\"key\": \"it's\", /* , */ }",
        ),
        ("c.toml.example", "key = '$ secrets.key'\n", "key = \"it's\"\n"),
        (".envrc", "export KEY='$ secrets.key'\n", "export KEY=\"it's\"\n"),
        (".env.tpl", "KEY=$ secrets.key\n", "KEY=\"it's\"\n"),
        ("c.json", "\u{feff}{\"key\": \"$ secrets.key\"}", "\u{feff}{\"key\": \"it's\"}"),
        ("bom.yaml", "\u{feff}key: $ secrets.key\n", "\u{feff}key: \"it's\"\n"),
        ("bom.toml", "\u{feff}key = '$ secrets.key'\n", "\u{feff}key = \"it's\"\n"),
    ] {
        shell.file(name, text);
        let done = shell.run(&["inject", "-i", name]);
        assert_eq!((done.text().as_str(), done.told.as_str()), (expected, ""), "{name}");
    }
    // The name of the result counts where the document has none.
    let done = shell.fed(yaml, &["inject", "-o", "out.yaml"]);
    assert_eq!((done.code, done.told.as_str()), (Some(0), ""));
    assert_eq!(shell.read("out.yaml"), "key: \"it's\"\n");
    assert_eq!(mode(&shell.path("out.yaml")), 0o600);
}

#[test]
fn a_document_without_references_is_said_to_have_none() {
    let shell = Shell::new(shared(), "inject-none");
    shell.create("key", "x");
    let done = shell.fed("key: $ secrets.key\n", &["inject"]);
    assert_eq!((done.code, done.text().as_str()), (Some(0), "key: $ secrets.key\n"));
    assert!(
        done.told.contains("no reference was found in standard input, which was read as text"),
        "{}",
        done.told
    );
    shell.file("c.yaml", "key: \"{{ secrets.key }}\"\n");
    let done = shell.run(&["inject", "-i", "c.yaml"]);
    assert!(done.told.contains("--format text"), "{}", done.told);
    assert_eq!(shell.done(&["inject", "-i", "c.yaml", "--format", "text"]), "key: \"x\"\n");
}

#[test]
fn what_was_imported_already_makes_no_version() {
    let shell = Shell::new(shared(), "import-again");
    shell.file("a.json", r#"[{"name": "a", "value": "1", "description": "d", "metadata": {"k": "v"}}, {"name": "b", "value": {"binary": "AP8="}}]"#);
    assert_eq!(shell.json(&["import", "a.json"])["created"].as_array().unwrap().len(), 2);
    for _ in 0..3 {
        let again = shell.json(&["import", "--update", "a.json"]);
        assert_eq!(
            (&again["unchanged"], &again["updated"]),
            (&serde_json::json!(["a", "b"]), &serde_json::json!([]))
        );
    }
    // A description alone makes no version either.
    shell.file("b.json", r#"{"name": "a", "value": "1", "description": "other"}"#);
    assert_eq!(shell.json(&["import", "--update", "b.json"])["updated"], serde_json::json!(["a"]));
    let secret = shell.json(&["get", "a"]);
    assert_eq!((&secret["version"], &secret["description"]), (&1.into(), &"other".into()));
    // One line says what to do about all that exist.
    let (code, told) = shell.refused(&["import", "a.json"]);
    let line = "  a, b: exist already: give --update to give them the new values, or --skip-existing to leave them as they are\n";
    assert_eq!((code, told), (1, format!("error: these secrets were not imported\n{line}")));
}

#[test]
fn names_of_other_systems_are_renamed_and_clashes_write_nothing() {
    let shell = Shell::new(shared(), "import-rename");
    shell.file("a.json", r#"{"spring.data-source/url": "1", "port": 5432, "tls": true}"#);
    let (code, told) = shell.refused(&["import", "a.json"]);
    assert!(code == 2 && told.contains("--rename"), "{told}");
    let rules = ["import", "--rename", "--rename=spring.*=db_*", "a.json"];
    assert_eq!(shell.json(&rules)["created"], serde_json::json!(["db_data_source_url", "port", "tls"]));
    assert_eq!(shell.done(&["get", "port", "--value-only"]), "5432");
    shell.file("clash.json", r#"{"new": "1", "x-y": "1", "x.y": "2"}"#);
    let (code, told) = shell.refused(&["import", "--rename", "clash.json"]);
    assert!(code == 2 && told.contains("x.y: has the name x_y of 'x-y' too"), "{told}");
    // Two files are one import.
    shell.file("one.env", "new=1\n");
    let (code, told) = shell.refused(&["import", "one.env", "one.env"]);
    assert!(code == 2 && told.contains("new: appears twice"), "{told}");
    assert_eq!(shell.refused(&["get", "new"]).0, 1, "nothing was written");
    // Vault's answer is recognised, also without a name.
    let vault = r#"{"request_id": "x", "data": {"data": {"from-vault": "p"}, "metadata": {"version": 1}}}"#;
    let done = shell.fed(vault, &["import", "--rename", "-"]);
    assert!(done.code == Some(0) && done.text().contains("\"from_vault\""), "{}", done.told);
}

#[test]
fn a_value_that_cannot_be_read_does_not_stop_an_export() {
    let shell = Shell::new(shared(), "export-skips");
    shell.create("a", "1");
    shell.create("b", "2");
    shell.create("c", "it's");
    shell.done(&["disable", "b", "1"]);
    let done = shell.run(&["export", "--yes", "--format", "env"]);
    assert_eq!((done.code, done.text().as_str()), (Some(1), "a=1\nc=\"it's\"\n"));
    assert!(done.told.contains("were skipped\n  b: "), "{}", done.told);
    // Nothing at all is no file.
    let done = shell.run(&["export", "--yes", "--prefix", "b", "-o", "b.json"]);
    assert!(done.code == Some(1) && !shell.path("b.json").exists(), "{}", done.told);
}

#[test]
fn bytes_stay_bytes_where_they_are_meant_to_be() {
    let shell = Shell::new(shared(), "binary");
    shell.file("abc", "abc");
    shell.file("bytes", [0xff, 0]);
    let value = |shell: &Shell| shell.json(&["get", "b"])["value"].clone();
    shell.done(&["create", "b", "--value-file", "bytes"]);
    assert_eq!(value(&shell), serde_json::json!({ "binary": "/wA=" }));
    shell.done(&["rotate", "b", "--value-file", "abc", "--binary"]);
    assert_eq!(value(&shell), serde_json::json!({ "binary": "YWJj" }));
    shell.done(&["update", "b", "--value-file", "abc", "--binary"]);
    assert_eq!(value(&shell), serde_json::json!({ "binary": "YWJj" }));
    // So they do through an export and an import.
    shell.done(&["export", "--yes", "-o", "b.json"]);
    shell.done(&["delete", "b", "--yes"]);
    shell.done(&["import", "b.json"]);
    assert_eq!(value(&shell), serde_json::json!({ "binary": "YWJj" }));
}

#[test]
fn what_is_given_twice_is_refused() {
    let shell = Shell::new(shared(), "twice");
    shell.create("a", "1");
    for arguments in [
        &["list", "--metadata", "k=1", "--metadata", "k=2"][..],
        &["create", "x", "--generate", "uuid", "--metadata", "k=1", "--metadata", "k=1"],
        &["update", "a", "--metadata", "k=1", "--metadata", "k=2"],
        &["watch", "--metadata", "k=1", "--metadata", "k=2"],
        &["rotator", "--once", "--metadata", "k=1", "--metadata", "k=2", "--exec", "true"],
        &["run", "--env", "A=a", "--env", "A=b", "--", "true"],
    ] {
        let (code, told) = shell.refused(arguments);
        assert!(code == 2 && told.contains("given twice"), "{arguments:?}: {told}");
    }
    let (code, told) = shell.refused(&["delete", "a"]);
    assert!(code == 2 && told.contains("--yes"), "{told}");
    assert_eq!(shell.json(&["get", "a"])["version"], 1);
}

#[test]
fn set_creates_or_rotates_and_commands_have_the_names_that_people_try() {
    let shell = Shell::new(shared(), "set");
    for (value, version) in [("one", 1), ("two", 2)] {
        let done = shell.fed(value, &["put", "db_password", "--value-file", "-"]);
        let secret: serde_json::Value = serde_json::from_str(&done.text()).unwrap();
        assert_eq!(secret["version"], version, "{}", done.told);
    }
    assert_eq!(shell.json(&["set", "db_password", "--generate", "uuid"])["version"], 3);
    assert_eq!(shell.json(&["ls"])["total_size"], 1);
    assert_eq!(shell.done(&["history", "db_password"]).matches("\"number\"").count(), 3);
    // A slip is met with the name that was meant, if the caller may list it.
    let (code, told) = shell.refused(&["get", "db_pasword"]);
    assert!(code == 1 && told.contains("Did you mean 'db_password'?"), "{told}");
    shell.done(&["rm", "db_password", "--yes"]);
    assert!(!shell.refused(&["get", "db_pasword"]).1.contains("Did you mean"));
}

#[test]
fn a_key_file_that_is_open_to_others_is_noted_once() {
    let shell = Shell::new(shared(), "open-key-file");
    shell.file("app.key", &shell.server.root_key);
    let change = |mode| {
        std::fs::set_permissions(shell.path("app.key"), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let note = "note: the API key file app.key is open to others (mode 0644); make it yours alone: chmod 600 app.key\n";
    change(0o644);
    let option = ["list", "--api-key-file", "app.key"];
    assert_eq!(shell.run(&option).told, note);
    let by_variable = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.args(["-n", "open-key-file", "list"]).current_dir(shell.folder.path());
        command.env("STRONGROOM_SERVER", &shell.server.url).env("STRONGROOM_API_KEY_FILE", file);
        let output = command.stdin(std::fs::File::open(shell.path("app.key")).unwrap()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(by_variable("app.key"), note);
    // Standard input and what the shell hands over are not the file of a key.
    assert_eq!(by_variable("/dev/stdin"), "");
    assert_eq!(shell.fed(&shell.server.root_key, &["list", "--api-key-file", "-"]).told, "");
    change(0o600);
    assert_eq!((shell.run(&option).told.as_str(), by_variable("app.key").as_str()), ("", ""));
}

#[test]
fn an_error_is_json_where_json_is_asked_for() {
    let shell = Shell::new(shared(), "json-errors");
    let (code, told) = shell.refused(&["get", "missing", "-o", "json"]);
    let error = &serde_json::from_str::<serde_json::Value>(&told).unwrap()["error"];
    assert_eq!((code, &error["reason"], &error["exit_code"]), (1, &"SECRET_NOT_FOUND".into(), &1.into()));
    assert!(
        error["message"].as_str().unwrap().contains("missing") && error["request_id"].is_string(),
        "{told}"
    );
    let (_, told) = shell.refused(&["create", "1a", "--generate", "uuid", "-o", "json"]);
    let error = &serde_json::from_str::<serde_json::Value>(&told).unwrap()["error"];
    assert_eq!(
        (&error["reason"], &error["fields"][0]["field"]),
        (&"VALIDATION_FAILED".into(), &"name".into())
    );
    assert!(shell.refused(&["get", "missing"]).1.starts_with("error: "));
}

#[test]
fn a_key_is_revoked_and_rotated_by_its_name_where_one_key_in_force_has_it() {
    let shell = Shell::new(shared(), "revoke-by-name");
    let create = |name: &str| shell.json(&["key", "create", name])["id"].as_str().unwrap().to_owned();
    let id = create("revoke-by-name-once");
    let revoked = shell.json(&["key", "revoke", "revoke-by-name-once", "--yes"]);
    assert!(revoked["id"] == id && revoked["revoked_at"].is_string(), "{revoked}");
    let (one, two) = (create("revoke-by-name-twice"), create("revoke-by-name-twice"));
    for command in
        [&["key", "revoke", "revoke-by-name-twice", "--yes"][..], &["key", "rotate", "revoke-by-name-twice"]]
    {
        let (code, told) = shell.refused(command);
        assert!(code == 1 && told.contains(&one) && told.contains(&two), "{told}");
    }
    // Revoked and expired keys do not count.
    shell.done(&["key", "revoke", &one, "--yes"]);
    shell.json(&["key", "create", "revoke-by-name-twice", "--ttl", "1us"]);
    let rotated = shell.json(&["key", "rotate", "revoke-by-name-twice"]);
    assert!(rotated["id"] == two && rotated["rotated_at"].is_string(), "{rotated}");
    assert_eq!(shell.json(&["key", "revoke", "revoke-by-name-twice", "--yes"])["id"], two);
    let (code, told) = shell.refused(&["key", "revoke", "revoke-by-name-once", "--yes"]);
    assert!(code == 1 && told.contains("strongroom key list"), "{told}");
}

#[test]
fn a_secret_that_was_deleted_is_told_to_those_who_may_list_it() {
    let shell = Shell::new(shared(), "deleted-hint");
    shell.create("gone", "1");
    let id = shell.json(&["delete", "gone", "--yes"])["id"].as_str().unwrap().to_owned();
    let done = shell.run(&["get", "gone"]);
    assert!(done.code == Some(1), "{}", done.told);
    assert!(done.told.contains(&format!(": strongroom -n deleted-hint undelete {id}")), "{}", done.told);
    // The last one of that name is the one that is meant.
    shell.create("gone", "2");
    let id = shell.json(&["delete", "gone", "--yes"])["id"].as_str().unwrap().to_owned();
    assert!(shell.run(&["get", "gone"]).told.contains(&id));
    // An id is the same with upper-case letters.
    shell.done(&["undelete", &id.to_uppercase()]);
    assert_eq!(shell.done(&["get", "gone", "--value-only"]), "2");
    shell.done(&["delete", "gone", "--yes"]);

    // A key that may read and not list is told nothing.
    shell.done(&["role", "create", "deleted_hint", "--right", "read"]);
    shell.done(&["key", "create", "k", "--home", "deleted-hint", "--role", "deleted_hint", "--out", "k.key"]);
    let done = shell.run(&["get", "gone", "--api-key-file", "k.key"]);
    assert!(
        done.told.contains("There is no secret 'gone'") && !done.told.contains("undelete"),
        "{}",
        done.told
    );
}

#[test]
fn a_list_says_when_secrets_expire() {
    let shell = Shell::new(shared(), "list-expiry");
    shell.create("plain", "1");
    assert!(!shell.done(&["list", "-o", "table"]).contains("EXPIRES"));
    shell.done(&["create", "long", "--generate", "uuid", "--expires-at", "2999-01-01T00:00:00Z"]);
    let text = shell.done(&["list", "-o", "table"]);
    let long = text.lines().find(|line| line.trim().starts_with("long")).unwrap();
    assert!(text.contains("EXPIRES") && long.trim_end().ends_with("  2999-01-01T00:00:00Z"), "{text}");
}

#[test]
fn namespaces_are_listed_with_their_numbers() {
    let shell = Shell::new(shared(), "namespace-list/a");
    shell.create("x", "1");
    shell.create("y", "1");
    shell.done(&["delete", "y", "--yes"]);
    shell.done(&["create", "z", "--generate", "uuid", "-n", "namespace-list/b"]);
    let list = ["namespace", "list", "--below", "namespace-list", "-o", "table"];
    let text = shell.done(&list);
    let words: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        words,
        [
            vec!["NAMESPACE", "SECRETS", "DELETED"],
            vec!["namespace-list/a", "1", "1"],
            vec!["namespace-list/b", "1", "0"]
        ]
    );
    let json = shell.json(&["namespace", "ls", "--below", "namespace-list/b"]);
    assert_eq!(
        json["items"],
        serde_json::json!([{ "name": "namespace-list/b", "secrets": 1, "deleted_secrets": 0 }])
    );
}

/// What bash offers for a line, by the script of `completions bash`.
fn offered(shell: &Shell<'_>, line: &str) -> Vec<String> {
    shell.file("script.bash", shell.done(&["completions", "bash"]));
    // The program is called by its path, so that it is this one.
    let line = line.replacen("strongroom", env!("CARGO_BIN_EXE_strongroom"), 1);
    let words: Vec<_> = line.split(' ').collect();
    let (typed, before) = (words[words.len() - 1], words[words.len() - 2]);
    let script = format!(
        "source ./script.bash; COMP_WORDS=({}); COMP_CWORD={}; COMP_LINE={line:?}; COMP_POINT=${{#COMP_LINE}}; \
         $(complete -p strongroom | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p') {} '{typed}' '{before}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len() - 1,
        words[0],
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir(shell.folder.path()).stdin(Stdio::null());
    command.env("STRONGROOM_SERVER", &shell.server.url).env("STRONGROOM_API_KEY", &shell.server.root_key);
    let output = command.env("STRONGROOM_NAMESPACE", shell.namespace).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_the_names_of_secrets_that_may_be_listed() {
    let shell = Shell::new(shared(), "completion");
    for name in ["db_a", "db_b", "other"] {
        shell.create(name, "1");
    }
    shell.done(&["create", "elsewhere", "--generate", "uuid", "-n", "completion/b"]);
    assert_eq!(offered(&shell, "strongroom get "), ["db_a", "db_b", "other"]);
    assert_eq!(offered(&shell, "strongroom rotate --stage db_"), ["db_a", "db_b"]);
    assert_eq!(offered(&shell, "strongroom -n completion/b get "), ["elsewhere"]);
    // Commands and options are completed as before.
    assert!(offered(&shell, "strongroom rot").contains(&"rotate".to_owned()));
    assert!(offered(&shell, "strongroom get --val").contains(&"--value-only".to_owned()));

    // Nothing is said where the service is away, where the key is refused, or where the key may not list.
    let (none, away) = ("--api-key-file=none.key", "--server=127.0.0.1:1");
    shell.file("none.key", "srk_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    for option in [none, away] {
        let done = shell.run(&["complete-names", "--", option, "get", ""]);
        assert_eq!((done.code, done.text().as_str(), done.told.as_str()), (Some(0), "", ""), "{option}");
    }
}

/// Sends a signal to a process.
fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap().success());
}

#[test]
fn a_command_says_what_it_waits_for_and_status_does_not_wait_long() {
    let server = Server::alone();
    let shell = Shell::new(&server, "waiting");
    shell.create("a", "1");
    signal(server.process(), "STOP");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.args(["-n", "waiting", "get", "a", "--value-only"]).stdin(Stdio::null());
    command.env("STRONGROOM_SERVER", &server.url).env("STRONGROOM_API_KEY", &server.root_key);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut told).unwrap();
    assert_eq!(told, format!("note: waiting for {}: it does not answer\n", server.url));
    let status = shell.run(&["status"]);
    assert_eq!(status.code, Some(69));
    assert!(status.told.contains("does not answer within 5 seconds"), "{}", status.told);
    signal(server.process(), "CONT");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"1".as_slice()));
}

#[test]
fn a_filter_of_the_audit_log_that_matches_nothing_is_refused() {
    let shell = Shell::new(shared(), "audit-filters");
    for (filter, told_of) in [
        (&["--outcome", "bogus"][..], "PERMISSION_DENIED"),
        (&["--rpc", "bogus"], "GetSecret"),
        (&["--principal", "ci"], "key:ID"),
        (&["--reason", "Foo"], "ACCESS_DENIED"),
        (&["--name", "bad name"], "letters, digits and underscores"),
        (&["--in", "bad name"], "fingerprint"),
        (&["--since", "10s", "--until", "20s"], "--since"),
        (&["--since", "2026-01-31T12:00:00"], "Z (UTC) or an offset"),
    ] {
        for command in ["list", "tail"] {
            let (code, told) = shell.refused(&[&["audit", command], filter].concat());
            assert!(code == 2 && told.contains(told_of) && told.contains(filter[0]), "{filter:?}: {told}");
        }
    }
    let (code, told) = shell.refused(&["audit", "list", "--limit", "0"]);
    assert!(code == 2 && told.contains("--limit") && told.contains("--all"), "{told}");
    // The case does not count, a time can have an offset, and a fingerprint is a name.
    shell.refused(&["get", "missing"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    command.args(["audit", "tail", "--from", "0", "--in", "audit-filters", "--rpc", "getsecret"]);
    command.args(["--outcome", "not_found", "--since", "2026-01-31T12:00:00+02:00", "--until", "2999-01-01"]);
    command.env("STRONGROOM_SERVER", &shell.server.url).env("STRONGROOM_API_KEY", &shell.server.root_key);
    let mut tail = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut record = String::new();
    // The record is told as soon as it is in the log.
    BufReader::new(tail.stdout.take().unwrap()).read_line(&mut record).unwrap();
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert!(record.contains("\"name\":\"missing\""), "{record}");
    assert_eq!(shell.done(&["audit", "list", "--name", "fp:1f2e3d4c5b6a7988"]), "");
}

#[test]
fn a_key_that_cannot_be_printed_is_revoked() {
    let shell = Shell::new(shared(), "lost-key");
    for (name, more) in [("lost-key-only", &["--key-only"][..]), ("lost-key-table", &["-o", "table"])] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.args(["key", "create", name]).args(more).stdin(Stdio::null()).stdout(full);
        command.env("STRONGROOM_SERVER", &shell.server.url).env("STRONGROOM_API_KEY", &shell.server.root_key);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && told.contains("was revoked"), "{told}");
        let keys = shell.json(&["key", "list"]);
        let key = keys["items"].as_array().unwrap().iter().find(|key| key["name"] == name);
        assert!(key.is_none_or(|key| key["revoked_at"].is_string()), "{key:?}");
    }
}

#[test]
fn an_empty_value_is_kept_and_noted() {
    let shell = Shell::new(shared(), "empty-values");
    shell.file("empty", "");
    for command in [&["create", "a"][..], &["set", "a"], &["rotate", "a"], &["update", "a"]] {
        for file in ["empty", "-"] {
            if command[0] == "create" && file == "-" {
                continue;
            }
            let done = shell.run(&[command, &["--value-file", file]].concat());
            assert_eq!(done.code, Some(0), "{}", done.told);
            assert!(done.told.starts_with("note: the value is empty"), "{command:?}: {}", done.told);
        }
    }
    let shown = shell.done(&["get", "a", "-o", "table"]);
    assert!(shown.contains("value      (empty)\n"), "{shown}");
    assert_eq!(shell.json(&["get", "a"])["value"], "");
    assert_eq!(shell.done(&["get", "a", "--value-only"]), "");
    shell.create("b", "1");
    assert!(shell.done(&["get", "a", "b", "-o", "table"]).contains("(empty)"));
}

#[test]
fn a_date_or_a_time_with_an_offset_is_a_time() {
    let shell = Shell::new(shared(), "times");
    for (time, expires) in
        [("2999-03-01", "2999-03-01T00:00:00Z"), ("2999-03-01T12:00:00+02:00", "2999-03-01T10:00:00Z")]
    {
        let name = format!("s{}", time.len());
        let secret = shell.json(&["create", &name, "--generate", "uuid", "--expires-at", time]);
        assert_eq!(secret["expires_at"], expires);
        let binding =
            ["binding", "add", "--principal", "group:corp:ops", "--role", "reader", "--on", "times"];
        assert_eq!(shell.json(&[&binding[..], &["--expires-at", time]].concat())["expires_at"], expires);
    }
    let (code, told) =
        shell.refused(&["create", "x", "--generate", "uuid", "--expires-at", "2999-03-01T12:00:00"]);
    assert!(code == 2 && told.contains("--expires-at") && told.contains("offset"), "{told}");
}
