//! Where the secret text of a new API key goes: to standard output, or into a file that only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde_json::{Value as Json, json};
use strongroom_client::v1;
use zeroize::Zeroizing;

use super::{key_fields, key_json};
use crate::cli::failure::{Failure, note};
use crate::cli::file::folder_of;
use crate::cli::output::{self, Output};

/// The flags that say where the key goes.
#[derive(clap::Args)]
pub(super) struct Destination {
    /// Write the key to FILE, which must not exist, and which only you can read; - prints only the key
    #[arg(long, value_name = "FILE", conflicts_with = "key_only")]
    out: Option<PathBuf>,

    /// Print only the key
    #[arg(long)]
    key_only: bool,
}

/// A destination that is ready: nothing is in the way of the key that is made next.
pub(super) enum Ready {
    /// The whole answer, with the key.
    Answer,
    /// Only the key.
    KeyOnly,
    /// A file for the key, and the answer without the key.
    File(KeyFile),
}

/// What a binding of a new key gives: a role, and on which secrets.
pub(super) struct Given {
    pub(super) role: String,
    /// A pattern of namespaces.
    pub(super) namespaces: String,
    /// A pattern of names.
    pub(super) names: String,
}

impl Given {
    /// With the field names of the wire.
    fn json(&self) -> Json {
        json!({ "role": self.role, "namespace_pattern": self.namespaces, "name_pattern": self.names })
    }
}

impl From<v1::Binding> for Given {
    fn from(binding: v1::Binding) -> Self {
        Self { role: binding.role, namespaces: binding.namespace_pattern, names: binding.name_pattern }
    }
}

/// Why a key was not given out as it was asked for.
pub(super) enum Undelivered {
    /// Nobody has the key with this id.
    Lost(Failure, String),
    /// The key is in its file, and only what else is known of it was not printed.
    Kept(Failure),
}

impl From<Undelivered> for Failure {
    fn from(undelivered: Undelivered) -> Self {
        match undelivered {
            Undelivered::Lost(failure, id) => {
                failure.with_more(&format!("The service has made the key {id}, which is lost: revoke it"))
            }
            Undelivered::Kept(failure) => failure,
        }
    }
}

/// A new file. It is removed if it is dropped before it has the key.
pub(super) struct KeyFile {
    path: PathBuf,
    file: File,
    written: bool,
}

impl Destination {
    /// Makes the file, before the service is asked for a key that could not be kept.
    pub(super) fn prepare(self) -> Result<Ready, Failure> {
        match self.out {
            Some(path) if path.as_os_str() == "-" => Ok(Ready::KeyOnly),
            Some(path) => KeyFile::create(path).map(Ready::File),
            None if self.key_only => Ok(Ready::KeyOnly),
            None => Ok(Ready::Answer),
        }
    }
}

impl Ready {
    /// Gives out the key, and what is known of it and of its new bindings. Fails with [`Undelivered::Lost`] if nobody has the key then.
    pub(super) fn deliver(
        self,
        output: Output,
        key: &v1::ApiKey,
        given: &[Given],
        credential: &Zeroizing<String>,
    ) -> Result<(), Undelivered> {
        let lost = |failure| Undelivered::Lost(failure, key.id.clone());
        let line = Zeroizing::new([credential.as_bytes(), b"\n"].concat());
        let (mut fields, mut json) = (key_fields(key), key_json(key));
        for Given { role, namespaces, names } in given {
            let names = if names == "*" { "all names".to_owned() } else { format!("the names {names}") };
            fields.extend([("role", role.clone()), ("on", format!("{names} of {namespaces}"))]);
        }
        let (field, text) = match self {
            Self::KeyOnly => return output::write_all(&line).map_err(lost),
            Self::Answer => ("credential", credential.to_string()),
            Self::File(file) => ("credential_file", file.keep(&line).map_err(lost)?),
        };
        let shown = field == "credential";
        fields.insert(0, (if shown { "key" } else { "key in" }, text.clone()));
        if let Some(object) = json.as_object_mut() {
            if !given.is_empty() {
                object.insert("bindings".to_owned(), given.iter().map(Given::json).collect());
            }
            object.insert(field.to_owned(), json!(text));
        }
        let mut text = Zeroizing::new(match output {
            Output::Json => format!("{json:#}\n"),
            Output::Table => output::fields(&fields),
        });
        if output == Output::Table && shown {
            text.push_str("\nThe key is shown only now. Pass it on by a secure channel.\n");
        }
        if shown {
            output::write_all(text.as_bytes()).map_err(lost)?;
        } else {
            output::write(text.as_bytes()).map_err(Undelivered::Kept)?;
            note("only you can read the file of the key. The service does not show the key again");
        }
        Ok(())
    }
}

impl KeyFile {
    fn create(path: PathBuf) -> Result<Self, Failure> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = opened.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Failure::usage(format!("{} exists: give --out another name", path.display()))
            }
            _ => Failure::usage(format!("{} cannot be created: {error}", path.display())),
        })?;
        Ok(Self { path, file, written: false })
    }

    /// Writes the key, durably. Returns the name of the file.
    fn keep(mut self, line: &[u8]) -> Result<String, Failure> {
        let written = self.file.write_all(line).and_then(|()| self.file.sync_all());
        let written = written.and_then(|()| File::open(folder_of(&self.path))?.sync_all());
        written
            .map_err(|error| Failure::local(format!("{} cannot be written: {error}", self.path.display())))?;
        self.written = true;
        Ok(self.path.display().to_string())
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        if !self.written {
            // The file has no key, or a part of one.
            let _ = fs::remove_file(&self.path);
        }
    }
}
