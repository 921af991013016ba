//! `strongroom login` keeps the address of a service and a credential in a context.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;
use strongroom_client::ApiKey;
use zeroize::Zeroizing;

use super::connect::Connection;
use super::contexts::{self, Context, Contexts, KeyText};
use super::failure::Failure;
use super::output::Output;
use super::prompt;
use super::{file, key_file};

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Log in once: keep the address and the API key in a context\n\n\
The context is written to strongroom/contexts.toml in your configuration folder ($XDG_CONFIG_HOME or ~/.config), which only \
you can read, and becomes the current one. Later commands use its address, credential, namespace and certificates. Options and \
variables win over it. The API key of a context goes to the address of the context alone.\n\n\
The key comes from a hidden prompt, or from --api-key-file: '-' reads it from standard input, and a file stays where it is and \
is read by each command. Before anything is written, the service is asked who you are, so that a wrong key is noticed at once.";

/// The arguments of `strongroom login`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom login --server https://secrets.example.com -n team/billing
  strongroom login --context staging --server https://staging.example.com --ca-cert ca.pem
  strongroom login --api-key-file billing.key
  pass strongroom | strongroom login --api-key-file -")]
pub(super) struct Login {}

impl Login {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let name = connection
            .context()?
            .as_deref()
            .map(contexts::name)
            .transpose()
            .map_err(|reason| Failure::usage(format!("the name of a context {reason}")))?;
        let name = name.unwrap_or_else(|| "default".to_owned());
        let given = connection.given()?;
        let (key, key_file) = if given.client_cert.is_some() && given.api_key_file.is_none() {
            (None, None)
        } else {
            credential(given.api_key_file.as_deref())?
        };
        let context = Context {
            server: given.server,
            namespace: given.namespace,
            ca_cert: given.ca_cert.map(absolute).transpose()?,
            client_cert: given.client_cert.map(absolute).transpose()?,
            client_key: given.client_key.map(absolute).transpose()?,
            api_key_file: key_file,
            api_key: key,
            insecure_plaintext: given.insecure_plaintext,
        };
        let settings = Connection::of_context(&context)?;
        let server = settings.address().to_string();
        let caller = settings.connect().await?.access().who_am_i().await?;

        let namespace = context.namespace.clone().unwrap_or_else(|| caller.home_namespace.clone());
        let path = Contexts::change(|all| {
            all.contexts.insert(name.clone(), Context { server: server.clone(), ..context });
            all.current = Some(name.clone());
            Ok(())
        })?;
        let path = path.display().to_string();
        let fields = [
            ("context", name.clone()),
            ("server", server.clone()),
            ("principal", caller.principal.clone()),
            ("namespace", namespace.clone()),
            ("written to", path.clone()),
        ];
        let json = json!({
            "context": name,
            "server": server,
            "principal": caller.principal,
            "namespace": namespace,
            "file": path,
        });
        output.print(&fields, &json)
    }
}

/// The key itself, or the file that holds it.
fn credential(file: Option<&Path>) -> Result<(Option<KeyText>, Option<PathBuf>), Failure> {
    let checked = |text: Zeroizing<String>| {
        let wrong = || Failure::usage("this is not an API key: srk_… on one line is expected");
        ApiKey::parse(&text).map_err(|_| wrong())?;
        Ok::<_, Failure>(Some(KeyText(Zeroizing::new(text.trim().to_owned()))))
    };
    match file {
        Some(file) if file::is_standard(file) => {
            let failed = |error| Failure::usage(format!("standard input cannot be read: {error}"));
            let mut text = Zeroizing::new(String::with_capacity(16 * 1024));
            std::io::stdin().lock().take(16 * 1024).read_to_string(&mut text).map_err(failed)?;
            Ok((checked(text)?, None))
        }
        Some(file) => {
            key_file::note_if_open_to_others(file);
            Ok((None, Some(absolute(file.to_owned())?)))
        }
        None if prompt::is_possible() => Ok((checked(prompt::hidden("API key (hidden): ")?)?, None)),
        None => Err(Failure::usage(
            "there is no API key: give --api-key-file FILE (- is standard input), or use a terminal, which asks for it. 'login' does not read STRONGROOM_API_KEY and STRONGROOM_API_KEY_FILE",
        )),
    }
}

/// The name of a file that means the same from every folder.
fn absolute(path: PathBuf) -> Result<PathBuf, Failure> {
    std::path::absolute(&path)
        .map_err(|error| Failure::usage(format!("{} cannot be found: {error}", path.display())))
}
