//! The file of contexts, which `login` writes: for each context the address of a service, the credential, and what else a
//! connection needs. It is in the user's configuration folder, and only the user can read it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::file;
use super::output::printable;

/// All contexts.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contexts {
    /// The name of the context that commands use.
    pub(super) current: Option<String>,
    #[serde(default)]
    pub(super) contexts: BTreeMap<String, Context>,
}

/// One context.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    pub(super) server: String,
    pub(super) namespace: Option<String>,
    pub(super) ca_cert: Option<PathBuf>,
    pub(super) client_cert: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
    pub(super) api_key_file: Option<PathBuf>,
    pub(super) api_key: Option<KeyText>,
    /// Whether http:// to another machine is allowed.
    #[serde(default)]
    pub(super) insecure_plaintext: bool,
}

/// An API key, which is overwritten in memory when it is dropped.
pub(super) struct KeyText(pub(super) Zeroizing<String>);

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Zeroizing::new).map(Self)
    }
}

/// The largest file that is read, in bytes.
const MAX: u64 = 1 << 20;

impl Contexts {
    /// Reads the file; there are no contexts if there is no file.
    pub(super) fn read() -> Result<Self, Failure> {
        match place() {
            Some(path) => Self::read_from(&path),
            None => Ok(Self::default()),
        }
    }

    fn read_from(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::usage(format!("{} cannot be read: {error}", path.display()));
        let opened = match fs::File::open(path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
        };
        let about = opened.metadata().map_err(failed)?;
        let (mode, user) = (about.permissions().mode() & 0o7777, rustix::process::geteuid().as_raw());
        if mode & 0o077 != 0 {
            return Err(Failure::usage(format!(
                "{} holds credentials and is open to others (mode {mode:04o}); make it yours alone: chmod 600 {}",
                path.display(),
                path.display()
            )));
        }
        if about.uid() != user && about.uid() != 0 {
            return Err(Failure::usage(format!(
                "{} belongs to another user: remove it, and log in again",
                path.display()
            )));
        }
        let mut text = Zeroizing::new(String::new());
        opened.take(MAX).read_to_string(&mut text).map_err(failed)?;
        // The parser's message would show lines of the file.
        toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let (line, column) = super::document::position(&text, at);
            Failure::usage(format!(
                "{} is not a file of contexts: line {line}, column {column}. Correct it, or remove it and log in again",
                path.display()
            ))
        })
    }

    /// The named context, or else the current one. `None`: there is no current one.
    pub(super) fn chosen(mut self, name: Option<&str>) -> Result<Option<Context>, Failure> {
        let Some(name) = name.map(str::to_owned).or(self.current) else { return Ok(None) };
        match self.contexts.remove(&name) {
            Some(context) => Ok(Some(context)),
            None => Err(unknown(&name, &self.contexts)),
        }
    }

    /// Reads the file, changes the contexts, and writes the file, whole or not at all. Other commands that change it wait meanwhile.
    pub(super) fn change(change: impl FnOnce(&mut Self) -> Result<(), Failure>) -> Result<PathBuf, Failure> {
        let path = place().ok_or_else(|| {
            Failure::usage("there is no folder for the configuration: set HOME or XDG_CONFIG_HOME")
        })?;
        let folder = file::folder_of(&path);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| Failure::local(format!("{} cannot be created: {error}", folder.display())))?;
        let _lock = lock(&path.with_extension("lock"))?;
        let mut all = Self::read_from(&path)?;
        change(&mut all)?;
        file::replace(&path, all.text()?.as_bytes())?;
        Ok(path)
    }

    fn text(&self) -> Result<Zeroizing<String>, Failure> {
        let mut text = Zeroizing::new(String::with_capacity(16 * 1024));
        if let Some(current) = &self.current {
            line(&mut text, "current", current);
        }
        for (name, context) in &self.contexts {
            text.push_str("\n[contexts.");
            quote(&mut text, name);
            text.push_str("]\n");
            context.append(&mut text)?;
        }
        Ok(text)
    }
}

impl Context {
    fn append(&self, text: &mut Zeroizing<String>) -> Result<(), Failure> {
        line(text, "server", &self.server);
        if let Some(namespace) = &self.namespace {
            line(text, "namespace", namespace);
        }
        let files = [
            ("ca_cert", &self.ca_cert),
            ("client_cert", &self.client_cert),
            ("client_key", &self.client_key),
            ("api_key_file", &self.api_key_file),
        ];
        for (name, path) in files {
            if let Some(path) = path {
                let path = path.to_str().ok_or_else(|| {
                    Failure::usage(format!("the name of {} is not text in UTF-8", path.display()))
                })?;
                line(text, name, path);
            }
        }
        if let Some(KeyText(key)) = &self.api_key {
            line(text, "api_key", key);
        }
        if self.insecure_plaintext {
            text.push_str("insecure_plaintext = true\n");
        }
        Ok(())
    }
}

/// Waits until no other command changes the contexts. The lock ends with the file.
fn lock(path: &Path) -> Result<fs::File, Failure> {
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let opened =
        opened.map_err(|error| Failure::local(format!("{} cannot be opened: {error}", path.display())))?;
    // Some file systems have no locks. There, one of two logins at the same time can be lost.
    let _ = opened.lock();
    Ok(opened)
}

/// The failure where none of the contexts has this name.
pub(super) fn unknown(name: &str, all: &BTreeMap<String, Context>) -> Failure {
    let name = printable(name);
    let known: Vec<_> = all.keys().map(|known| printable(known)).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Failure::usage(format!(
        "there is no context '{name}': 'strongroom login' makes one. The contexts are: {known}"
    ))
}

/// Reads the name of a context from an argument.
pub(super) fn name(text: &str) -> Result<String, &'static str> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(known) {
        return Err("must be 1 to 64 letters, digits, hyphens, underscores and dots");
    }
    Ok(text.to_owned())
}

/// Where the file is; `None` if the user has no folder for it.
fn place() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|set| !set.is_empty()).map(PathBuf::from);
    // The specification of the XDG folders says that a relative path does not count.
    let folder = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let folder = folder.or_else(|| variable("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("strongroom").join("contexts.toml"))
}

fn line(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str(" = ");
    quote(text, value);
    text.push('\n');
}

/// Writes a basic string of TOML.
fn quote(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            c if c.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let context = Context {
            server: "https://a:1".into(),
            namespace: Some("team/ci".into()),
            ca_cert: Some("/a \"b\" \\ \u{7f}\n/ca.pem".into()),
            api_key: Some(KeyText("srk_hidden".to_owned().into())),
            insecure_plaintext: true,
            ..Context::default()
        };
        let contexts =
            Contexts { current: Some("a.b".into()), contexts: [("a.b".to_owned(), context)].into() };
        let read: Contexts = toml::from_str(&contexts.text().ok().unwrap()).unwrap();
        let chosen = read.chosen(None).ok().unwrap().unwrap();
        assert_eq!((chosen.server.as_str(), chosen.namespace.as_deref()), ("https://a:1", Some("team/ci")));
        assert_eq!(chosen.ca_cert.unwrap().to_str(), Some("/a \"b\" \\ \u{7f}\n/ca.pem"));
        assert_eq!(*chosen.api_key.unwrap().0, "srk_hidden");
        assert!(chosen.insecure_plaintext && chosen.api_key_file.is_none());
    }
}
