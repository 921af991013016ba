//! `strongroom login` and the contexts: what later commands use, where the key goes, and what is refused.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::harness::{Server, shared};

/// A user with a home of its own, and no variables.
struct User {
    home: TempDir,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.home.path().join(".config/strongroom/contexts.toml")
    }

    fn strongroom(&self, arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.args(arguments).current_dir(self.home.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("STRONGROOM_") || name == "XDG_CONFIG_HOME" {
                command.env_remove(name);
            }
        }
        command.env("HOME", self.home.path()).envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that reads nothing closes its input.
        let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    fn done(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.strongroom(arguments, variables, "");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let output = self.strongroom(arguments, variables, "");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    fn login(&self, server: &Server, arguments: &[&str]) -> Output {
        let arguments = [&["login", "--server", &server.url, "--api-key-file", "-"], arguments].concat();
        self.strongroom(&arguments, &[], &format!("{}\n", server.root_key))
    }
}

#[test]
fn after_a_login_no_variable_is_needed() {
    let (user, server) = (User::new(), shared());
    let output = user.login(server, &["-n", "contexts/a"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("\"context\": \"default\"") && !told.contains(&server.root_key), "{told}");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&user.file()), mode(user.file().parent().unwrap())), (0o600, 0o700));

    user.done(&["create", "a", "--generate", "uuid"], &[]);
    let list = |variables: &[(&str, &str)], arguments: &[&str]| {
        user.done(&[&["list"], arguments].concat(), variables).matches("\"name\"").count()
    };
    assert_eq!(list(&[], &[]), 1);
    // Variables and options win over the context.
    assert_eq!(list(&[("STRONGROOM_NAMESPACE", "contexts/b")], &[]), 0);
    assert_eq!(list(&[("STRONGROOM_NAMESPACE", "contexts/b")], &["-n", "contexts/a"]), 1);
    let (code, told) = user.refused(&["list"], &[("STRONGROOM_API_KEY", "srk_wrong")]);
    assert_eq!(code, Some(77), "{told}");
    assert_eq!(list(&[("STRONGROOM_SERVER", &server.url)], &[]), 1, "it is the same service");
}

#[test]
fn the_key_of_a_context_goes_to_its_own_service_alone() {
    let (user, server) = (User::new(), shared());
    assert!(user.login(server, &[]).status.success());
    let other = Server::alone();
    let (code, told) = user.refused(&["whoami"], &[("STRONGROOM_SERVER", &other.url)]);
    assert!(code == Some(77) && told.contains("no API key was given"), "{told}");
    let (code, told) = user.refused(&["whoami", "--server", &other.url, "--context", "default"], &[]);
    assert!(code == Some(2) && told.contains("another service than the context"), "{told}");
}

/// An address without a scheme means plaintext on this machine. It must not bring the key of a context for TLS there.
#[test]
fn the_key_of_a_context_for_tls_is_never_sent_in_plaintext() {
    let (user, listener) = (User::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap().to_string();
    std::fs::create_dir_all(user.file().parent().unwrap()).unwrap();
    let key = &shared().root_key;
    let context = format!("[contexts.tls]\nserver = \"https://{address}\"\napi_key = \"{key}\"\n");
    std::fs::write(user.file(), format!("current = \"tls\"\n{context}")).unwrap();
    std::fs::set_permissions(user.file(), std::fs::Permissions::from_mode(0o600)).unwrap();
    let first_bytes = std::thread::spawn(move || {
        let mut first = [0; 3];
        let connections = listener.incoming().take(2);
        connections.map(|connection| connection.unwrap().read_exact(&mut first).map(|()| first)).collect()
    });
    for (arguments, variables) in [
        (vec!["whoami", "--server", &address], vec![]),
        (vec!["whoami"], vec![("STRONGROOM_SERVER", &*address)]),
    ] {
        let (code, told) = user.refused(&arguments, &variables);
        assert!(code == Some(69) && told.contains("https://"), "{told}");
    }
    let first_bytes: Vec<std::io::Result<[u8; 3]>> = first_bytes.join().unwrap();
    // A handshake of TLS, and not the preface of HTTP/2.
    assert!(first_bytes.iter().all(|first| first.as_ref().is_ok_and(|first| first == &[22, 3, 1])));
}

#[test]
fn logins_at_the_same_time_lose_no_context() {
    let (user, server) = (User::new(), shared());
    std::thread::scope(|threads| {
        for number in 0..8 {
            let user = &user;
            threads.spawn(move || {
                let output = user.login(server, &["--context", &format!("c{number}")]);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            });
        }
    });
    let written = std::fs::read_to_string(user.file()).unwrap();
    assert_eq!(written.matches("[contexts.").count(), 8);
}

#[test]
fn several_contexts_have_one_that_is_current() {
    let (user, server) = (User::new(), shared());
    assert!(user.login(server, &["--context", "one", "-n", "contexts/one"]).status.success());
    assert!(user.login(server, &["--context", "two", "-n", "contexts/two"]).status.success());
    user.done(&["create", "of_two", "--generate", "uuid"], &[]);
    let listed = user.done(&["context", "list", "-o", "table"], &[]);
    assert!(listed.contains("*  two") && listed.contains("contexts/one"), "{listed}");
    assert!(!listed.contains("srk_"), "{listed}");
    let has =
        |arguments: &[&str], variables: &[(&str, &str)]| user.done(arguments, variables).contains("of_two");
    assert!(has(&["list"], &[]));
    assert!(!has(&["list", "--context", "one"], &[]));
    assert!(!has(&["list"], &[("STRONGROOM_CONTEXT", "one")]));
    user.done(&["context", "use", "one"], &[]);
    assert!(!has(&["list"], &[]));
    let (code, told) = user.refused(&["list", "--context", "three"], &[]);
    assert!(code == Some(2) && told.contains("there is no context 'three'"), "{told}");

    user.done(&["logout"], &[]);
    let (code, _) = user.refused(&["list", "--server", &server.url], &[]);
    assert_eq!(code, Some(77), "no context is current");
    user.done(&["context", "remove", "two"], &[]);
    assert_eq!(user.done(&["context", "list", "-o", "table"], &[]), "None.\n");
    assert!(!std::fs::read_to_string(user.file()).unwrap().contains("srk_"));
}

#[test]
fn a_wrong_key_and_an_open_file_are_refused() {
    let (user, server) = (User::new(), shared());
    let login = ["login", "--server", &server.url, "--api-key-file", "-"];
    for (key, code) in [("srk_wrong", 77), ("two words", 2), ("", 2)] {
        let output = user.strongroom(&login, &[], key);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!user.file().exists());
    }
    // Without a terminal there is no prompt, and no key is an argument.
    let (code, told) = user.refused(&["login", "--server", &server.url], &[]);
    assert!(code == Some(2) && told.contains("--api-key-file"), "{told}");
    assert!(user.login(server, &[]).status.success());
    std::fs::set_permissions(user.file(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let (code, told) = user.refused(&["list"], &[]);
    assert!(code == Some(2) && told.contains("chmod 600"), "{told}");
    std::fs::set_permissions(user.file(), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(user.file(), format!("current = \"a\"\nsrk {}\n", server.root_key)).unwrap();
    let (code, told) = user.refused(&["list"], &[]);
    assert!(code == Some(2) && told.contains("line 2, column") && !told.contains("srk"), "{told}");
    // A command that needs nothing of the file does not stop.
    let key = [("STRONGROOM_API_KEY", &*server.root_key)];
    let output = user.strongroom(&["list", "--server", &server.url], &key, "");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.starts_with("note: the contexts are left out"), "{told}");
    for (arguments, variables) in [
        (&["list", "--server", &server.url][..], &[][..]),
        (&["list"], &key),
        (&["list", "--server", &server.url, "--context", "a"], &key),
    ] {
        assert_eq!(user.refused(arguments, variables).0, Some(2), "{arguments:?}");
    }
}

#[test]
fn the_file_of_a_key_is_named_and_not_copied() {
    let (user, server) = (User::new(), shared());
    std::fs::write(user.home.path().join("root.key"), &server.root_key).unwrap();
    user.done(&["login", "--server", &server.url, "--api-key-file", "root.key"], &[]);
    let written = std::fs::read_to_string(user.file()).unwrap();
    assert!(!written.contains("srk_") && written.contains("root.key"), "{written}");
    user.done(&["whoami"], &[]);
}

#[test]
fn logout_removes_the_context_that_is_named() {
    let (user, server) = (User::new(), shared());
    let login = |name: &str| assert!(user.login(server, &["--context", name]).status.success());
    let names = || {
        let all: serde_json::Value = serde_json::from_str(&user.done(&["context", "list"], &[])).unwrap();
        let items = all["items"].as_array().unwrap();
        items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    ["one", "two", "three", "four"].into_iter().for_each(login);
    user.done(&["logout", "--context", "one"], &[]);
    assert_eq!(names(), ["four", "three", "two"]);
    user.done(&["logout"], &[("STRONGROOM_CONTEXT", "two")]);
    assert_eq!(names(), ["four", "three"]);
    // An argument wins over the variable, and does not contradict the option.
    user.done(&["context", "remove", "three"], &[("STRONGROOM_CONTEXT", "four")]);
    for command in [&["logout", "nope"][..], &["logout", "--context", "nope"], &["context", "use", "nope"]] {
        let (code, told) = user.refused(command, &[]);
        assert!(code == Some(2) && told.contains("no context 'nope'") && told.contains(": four"), "{told}");
    }
    for command in [&["logout", "four"][..], &["context", "remove", "four"], &["context", "use", "four"]] {
        let (code, told) = user.refused(&[command, &["--context", "one"]].concat(), &[]);
        assert!(code == Some(2) && told.contains("different contexts"), "{told}");
    }
    assert_eq!(names(), ["four"]);
}
