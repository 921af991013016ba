//! The flags that say where the store and the master key are: of `serve`, and of the commands that open the store without it.

use std::path::PathBuf;

use crate::config::{ConfigError, Settings, StoreKind};

/// Where the store and the master key are.
#[derive(clap::Args)]
pub(super) struct Opening {
    /// Read settings from FILE
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The folder for the store and the keys [default: ./strongroom-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// The engine that stores the data [default: sled]
    #[arg(long, value_enum)]
    store: Option<StoreKind>,

    /// The addresses of etcd's members, separated by commas: HOST:PORT or http://HOST:PORT (plaintext), or
    /// https://HOST:PORT (TLS)
    #[arg(long, value_name = "URLS")]
    etcd_endpoints: Option<String>,

    /// The prefix of this store's keys in etcd [default: strongroom/]
    #[arg(long, value_name = "PREFIX")]
    etcd_prefix: Option<String>,

    /// The certificate (PEM) of the authority that signed the certificates of etcd's members [default: the system's
    /// authorities]
    #[arg(long, value_name = "FILE")]
    etcd_ca: Option<PathBuf>,

    /// The client certificate (PEM) to present to etcd
    #[arg(long, value_name = "FILE")]
    etcd_cert: Option<PathBuf>,

    /// The private key (PEM) of the client certificate
    #[arg(long, value_name = "FILE")]
    etcd_key: Option<PathBuf>,

    /// The user of etcd to log in as
    #[arg(long, value_name = "USER")]
    etcd_user: Option<String>,

    /// The file that holds the password of etcd's user; or put the password into STRONGROOM_ETCD_PASSWORD
    #[arg(long, value_name = "FILE")]
    etcd_password_file: Option<PathBuf>,

    /// The file that holds the master key [env: STRONGROOM_MASTER_KEY_FILE] [default: master.key in the data folder]
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,

    /// A command for sh that prints the master key; it must ask nothing and end within 30 seconds
    #[arg(long, value_name = "COMMAND")]
    master_key_command: Option<String>,

    /// The file that holds a passphrase from which the master key is derived
    #[arg(long, value_name = "FILE")]
    master_key_passphrase_file: Option<PathBuf>,

    /// The systemd credential that holds the master key [default: strongroom-master-key, if systemd passes it]
    #[arg(long, value_name = "NAME")]
    master_key_credential: Option<String>,

    /// Record the store's latest state in FILE and refuse to start from an older copy
    ///
    /// Put FILE on another disk, where the people who can write to the store cannot write.
    #[arg(long, value_name = "FILE")]
    anchor_file: Option<PathBuf>,
}

impl Opening {
    /// The settings in the configuration file; none where no file is named.
    pub(super) fn config_file(&self) -> Result<Settings, ConfigError> {
        Ok(self.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default())
    }

    /// The settings that these flags name.
    pub(super) fn settings(self) -> Settings {
        Settings {
            data_dir: self.data_dir,
            store: self.store,
            etcd_endpoints: self.etcd_endpoints,
            etcd_prefix: self.etcd_prefix,
            etcd_ca: self.etcd_ca,
            etcd_cert: self.etcd_cert,
            etcd_key: self.etcd_key,
            etcd_user: self.etcd_user,
            etcd_password_file: self.etcd_password_file,
            master_key_file: self.master_key_file,
            master_key_command: self.master_key_command,
            master_key_passphrase_file: self.master_key_passphrase_file,
            master_key_credential: self.master_key_credential,
            anchor_file: self.anchor_file,
            ..Settings::default()
        }
    }
}
