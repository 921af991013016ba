//! The source of the master key: exactly one, from the flags, the environment or the configuration file.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{ConfigError, Settings};

/// The environment variable that names the file of the master key.
pub const MASTER_KEY_VARIABLE: &str = "STRONGROOM_MASTER_KEY_FILE";
/// The environment variable that names the folder of a service's credentials, set by systemd.
pub(super) const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// The credential that is used where the settings name no source.
const CREDENTIAL: &str = "strongroom-master-key";
/// The file in the data folder.
const FILE: &str = "master.key";

/// The source of the master key. Its `Display` names the source for people, and shows no command, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKeySource {
    /// The file in the data folder, which the first start makes.
    DataDir(PathBuf),
    /// A file that was named.
    File(PathBuf),
    /// A file that the environment names.
    Variable(PathBuf),
    /// A credential that systemd gives to the service: its name and its file.
    Credential(String, PathBuf),
    /// The output of a command.
    Command(String),
    /// A file with a passphrase. The key is derived from it.
    PassphraseFile(PathBuf),
}

impl fmt::Display for MasterKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataDir(file) | Self::File(file) => write!(f, "the master key file {}", file.display()),
            Self::Variable(file) => {
                write!(f, "the master key file {} (named by {MASTER_KEY_VARIABLE})", file.display())
            }
            Self::Credential(name, file) => {
                write!(f, "the systemd credential {name} ({})", file.display())
            }
            // The command itself may hold a password.
            Self::Command(_) => f.write_str("the output of --master-key-command"),
            Self::PassphraseFile(file) => write!(f, "the passphrase file {}", file.display()),
        }
    }
}

impl MasterKeySource {
    /// The one source that the settings name; `master.key` in the data folder where they name none.
    pub(super) fn from_settings(settings: &Settings, data_dir: &Path) -> Result<Self, ConfigError> {
        let credential = |name: &str| {
            let folder = settings.credentials.as_ref()?;
            Some(Self::Credential(name.to_owned(), folder.join(name)))
        };
        let mut named = Vec::new();
        if let Some(file) = &settings.master_key_file {
            named.push(("--master-key-file", Self::File(file.clone())));
        }
        if let Some(command) = &settings.master_key_command {
            named.push(("--master-key-command", Self::Command(command.clone())));
        }
        if let Some(file) = &settings.master_key_passphrase_file {
            named.push(("--master-key-passphrase-file", Self::PassphraseFile(file.clone())));
        }
        if let Some(name) = &settings.master_key_credential {
            if name.is_empty() || name.contains('/') || name == "." || name == ".." {
                return Err(ConfigError::CredentialName);
            }
            let source = credential(name).ok_or(ConfigError::NoCredentials)?;
            named.push(("--master-key-credential", source));
        }
        if let Some(file) = &settings.master_key_variable {
            named.push((MASTER_KEY_VARIABLE, Self::Variable(file.clone())));
        }
        let mut named = named.into_iter();
        match (named.next(), named.next()) {
            (Some((one, _)), Some((other, _))) => Err(ConfigError::TwoMasterKeys(one, other)),
            (Some((_, source)), None) => Ok(source),
            (None, _) => {
                let handed = credential(CREDENTIAL).filter(|source| match source {
                    Self::Credential(_, file) => file.exists(),
                    Self::DataDir(_)
                    | Self::File(_)
                    | Self::Variable(_)
                    | Self::Command(_)
                    | Self::PassphraseFile(_) => false,
                });
                Ok(handed.unwrap_or_else(|| Self::DataDir(data_dir.join(FILE))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(settings: &Settings) -> Result<MasterKeySource, ConfigError> {
        MasterKeySource::from_settings(settings, Path::new("data"))
    }

    #[test]
    fn one_source_is_taken_and_two_are_refused_by_name() {
        assert_eq!(
            source(&Settings::default()).unwrap(),
            MasterKeySource::DataDir(Path::new("data").join("master.key"))
        );
        let command = Settings { master_key_command: Some("c".into()), ..Settings::default() };
        assert_eq!(source(&command).unwrap(), MasterKeySource::Command("c".into()));
        let both = Settings { master_key_passphrase_file: Some("p".into()), ..command };
        let refused = source(&both).unwrap_err().to_string();
        assert!(
            refused.contains("--master-key-command") && refused.contains("--master-key-passphrase-file"),
            "{refused}"
        );
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file_as_a_whole() {
        let file = Settings {
            master_key_command: Some("c".into()),
            listen: Some("127.0.0.1:1".parse().unwrap()),
            ..Settings::default()
        };
        let environment = Settings { master_key_variable: Some("v".into()), ..Settings::default() };
        let flags = Settings { master_key_passphrase_file: Some("p".into()), ..Settings::default() };
        let both = environment.clone().or(file.clone());
        assert_eq!(source(&both).unwrap(), MasterKeySource::Variable("v".into()));
        assert!(both.listen.is_some());
        assert_eq!(
            source(&flags.or(environment).or(file)).unwrap(),
            MasterKeySource::PassphraseFile("p".into())
        );
    }

    #[test]
    fn a_credential_is_taken_where_it_is_handed_over_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let handed = |settings: Settings| {
            source(&Settings { credentials: Some(folder.path().to_owned()), ..settings })
        };
        assert!(matches!(handed(Settings::default()).unwrap(), MasterKeySource::DataDir(_)));
        std::fs::write(folder.path().join(CREDENTIAL), "").unwrap();
        assert!(matches!(
            handed(Settings::default()).unwrap(),
            MasterKeySource::Credential(name, file) if name == CREDENTIAL && file.starts_with(folder.path())
        ));
        let named = |name: &str| Settings { master_key_credential: Some(name.into()), ..Settings::default() };
        let other = Settings { master_key_file: Some("f".into()), ..Settings::default() };
        assert_eq!(handed(other).unwrap(), MasterKeySource::File("f".into()));
        // A credential that is named is used whether it is there or not, so that its absence is reported.
        assert!(
            matches!(handed(named("mine")).unwrap(), MasterKeySource::Credential(name, _) if name == "mine")
        );
        assert!(matches!(source(&named("mine")), Err(ConfigError::NoCredentials)));
        for name in ["", "a/b", "..", "/etc/passwd"] {
            assert!(matches!(handed(named(name)), Err(ConfigError::CredentialName)));
        }
    }

    #[test]
    fn a_command_is_never_shown() {
        let shown = MasterKeySource::Command("fetch --token hunter2".into()).to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
