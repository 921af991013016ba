//! Credentials in the wrong place: no setting, file or variable that is wrong repeats them.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::harness::shared;

const KEYS: [&str; 3] = [
    "srk_abcdefghijklmnop_canaryCANARYcanaryCANARYcanaryCANARY12345",
    "srmk_canaryCANARYcanaryCANARYcanaryCANARYcanary1",
    "eyJhbGciOiJFUzI1NiJ9.eyJjYW5hcnkiOiJDQU5BUlkifQ.canaryCANARYcanary",
];

/// What must not be shown of any of them.
const MARKS: [&str; 4] = ["canary", "CANARY", "eyJjYW5", "hunter2"];

struct Try {
    folder: TempDir,
}

impl Try {
    /// Runs a command that must fail, and must not show a credential.
    fn refused(&self, arguments: &[&str], variables: &[(&str, &str)]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
        command.args(arguments).envs(variables.iter().copied()).current_dir(self.folder.path());
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert_ne!(output.status.code(), Some(0), "{arguments:?} {variables:?}: {said}");
        assert!(!said.is_empty());
        for mark in MARKS {
            assert!(!said.contains(mark), "{arguments:?} {variables:?}: {said}");
        }
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path.display().to_string()
    }
}

#[test]
fn a_setting_that_is_wrong_is_not_repeated() {
    let all = Try { folder: tempfile::tempdir().unwrap() };
    let settings = [
        "data_dir",
        "listen",
        "otlp_endpoint",
        "otlp_sample_ratio",
        "store",
        "etcd_endpoints",
        "etcd_prefix",
        "etcd_ca",
        "etcd_cert",
        "etcd_key",
        "etcd_user",
        "etcd_password_file",
        "master_key_file",
        "master_key_command",
        "master_key_passphrase_file",
        "master_key_credential",
        "tls_cert",
        "tls_key",
        "tls_client_ca",
        "issuers",
        "insecure_plaintext",
        "reflection",
        "max_connection_age",
        "max_connection_age_grace",
        "deletion_retention",
        "limits",
        "quotas",
        "audit",
        "history",
        "anchor_file",
        "log_format",
        "log_level",
    ];
    for (key, name) in [(KEYS[0], KEYS[1]), ("hunter2", "name")] {
        for setting in settings {
            for wrong in [
                // The wrong type, half a line, no quotes, a line that is only the credential, a table, and twice.
                format!("{setting} = [\"{key}\", 1.5]\n"),
                format!("{setting} = \"{key}\n"),
                format!("{setting} = {key}\n"),
                format!("{setting} {key}\n"),
                format!("[{setting}]\n{name} = \"{key}\"\n[{setting}]\n"),
                format!("{setting} = {{ {setting} = \"{key}\" }}\n"),
            ] {
                let file = all.write("strongroom.toml", &wrong);
                all.refused(&["serve", "--listen", "127.0.0.1:0", "--config", &file], &[]);
            }
        }
    }
}

#[test]
fn a_credential_where_a_file_is_expected_is_not_repeated() {
    let all = Try { folder: tempfile::tempdir().unwrap() };
    let server = &shared().url;
    let at = [("STRONGROOM_SERVER", server.as_str())];
    for key in KEYS {
        let whole = all.write("credential", key);
        let twice = all.write("twice", &format!("{key} {key}\n{key}\n"));
        for flag in [
            "--config",
            "--master-key-file",
            "--master-key-passphrase-file",
            "--master-key-credential",
            "--listen",
            "--otlp-endpoint",
            "--otlp-sample-ratio",
            "--store",
            "--max-connection-age",
            "--log-format",
            key,
        ] {
            all.refused(&["serve", flag, key], &[]);
        }
        for cert in [key, &whole, &twice] {
            all.refused(
                &[
                    "serve",
                    "--store",
                    "memory",
                    "--listen",
                    "127.0.0.1:0",
                    "--tls-cert",
                    cert,
                    "--tls-key",
                    cert,
                ],
                &[],
            );
        }
        all.refused(&["serve", "--master-key-command", &format!("echo '{key}")], &[]);
        all.refused(
            &["serve", "--listen", "127.0.0.1:0", "--store", "memory"],
            &[("STRONGROOM_MASTER_KEY_FILE", key)],
        );
        for arguments in [
            &["list", "--api-key-file", key][..],
            &["list", "--api-key-file", &twice],
            &["list", "--ca-cert", key],
            &["list", "--client-cert", key, "--client-key", key],
            &["list", "--server", key],
            &["list", "--namespace", key],
            &["list", "--context", key],
            &["list", "--order-by", key],
            &["list", "--limit", key],
            &["get", key],
            &["create", "name", key],
            &["create", "name", "hunter2"],
            &["create", "name", "--value-file", key],
            &["create", "name", "--generate", key],
            &["create", "name", "--ttl", key],
            &["import", key],
            &["import", "--format", "json", &twice],
            &["import", "--format", "env", &twice],
            &["inject", "-i", key],
            &["inject", "-i", &twice, "--input", &twice],
            &["backup", "--check", key],
            &["restore", "--yes", key],
            &["receipt", "verify", &twice],
            &["run", "--env", key, "--", "true"],
            &["run", "--env", "A=a", "--", key],
            &["key", "revoke", key, "--yes"],
            &["login", "--api-key-file", key],
            &["audit", "verify", "--data-dir", key],
            &["master-key", "generate", "--out", &format!("{key}/x")],
            &[key],
        ] {
            all.refused(arguments, &at);
        }
        for variable in [
            "STRONGROOM_SERVER",
            "STRONGROOM_API_KEY_FILE",
            "STRONGROOM_CA_CERT",
            "STRONGROOM_CLIENT_CERT",
            "STRONGROOM_CLIENT_KEY",
            "STRONGROOM_NAMESPACE",
            "STRONGROOM_CONTEXT",
        ] {
            all.refused(&["list"], &[at[0], (variable, key)]);
        }
        all.refused(&["list"], &[at[0], ("STRONGROOM_API_KEY", &format!("{key}\n{key}"))]);
    }
    assert!(Path::new(&all.folder.path().join("credential")).exists());
}
