use std::fs;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use strongroom_client::v1::{self, generator};
use zeroize::Zeroizing;

use super::failure::Failure;

/// Where a new value comes from.
#[derive(clap::Args)]
pub(super) struct ValueArgs {
    /// Read the value from FILE, byte for byte; - is standard input [default: a hidden prompt on a terminal]
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    pub(super) value_file: Option<PathBuf>,

    /// Have the service make the value: password[:LENGTH], base64url[:BYTES], hex[:BYTES], raw[:BYTES] or uuid
    #[arg(long, value_name = "SPEC", value_parser = generator_spec)]
    pub(super) generate: Option<v1::Generator>,

    /// Show the value that the service made
    #[arg(long, requires = "generate")]
    pub(super) show: bool,
}

impl ValueArgs {
    /// The value to send; `None` where the service makes it.
    pub(super) fn value(&self) -> Result<Option<v1::SecretValue>, Failure> {
        match (&self.generate, &self.value_file) {
            (Some(_), _) => Ok(None),
            (None, Some(file)) => from_file(file).map(Some),
            (None, None) => prompt().map(Some),
        }
    }
}

/// The value in a file, or on standard input: text where it is UTF-8, else bytes.
pub(super) fn from_file(file: &PathBuf) -> Result<v1::SecretValue, Failure> {
    // One byte more than a value may have is enough for the service to refuse it.
    const ENOUGH: u64 = 64 * 1024 + 1;
    let failed = |error| Failure::usage(format!("the value in {} can not be read: {error}", file.display()));
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024 + 64));
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(ENOUGH).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        fs::File::open(file).and_then(|open| open.take(ENOUGH).read_to_end(&mut bytes)).map_err(failed)?;
    }
    Ok(match std::str::from_utf8(&bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.to_vec().into(),
    })
}

fn prompt() -> Result<v1::SecretValue, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "no value: give --value-file FILE (- for standard input) or --generate SPEC; on a terminal you are asked",
        ));
    }
    let ask = |prompt| rpassword::prompt_password(prompt).map(Zeroizing::new);
    let failed = |error| Failure::local(format!("the value can not be read: {error}"));
    let mut value = ask("Value (not shown): ").map_err(failed)?;
    if *value != *ask("The same again: ").map_err(failed)? {
        return Err(Failure::usage("the two values differ: nothing was sent"));
    }
    Ok(std::mem::take(&mut *value).into())
}

/// A generator in its short form, such as `password:40`.
fn generator_spec(spec: &str) -> Result<v1::Generator, String> {
    let (kind, length) = match spec.split_once(':') {
        None => (spec, None),
        Some((kind, length)) => {
            let length = length.parse().map_err(|_| "the length behind ':' must be a number".to_owned())?;
            (kind, Some(length))
        }
    };
    let bytes = |encoding: v1::BytesEncoding| {
        generator::Kind::Bytes(v1::BytesGenerator { length, encoding: encoding.into() })
    };
    let kind = match kind {
        "password" => generator::Kind::Password(v1::PasswordGenerator { length, alphabet: String::new() }),
        "base64url" => bytes(v1::BytesEncoding::Base64url),
        "hex" => bytes(v1::BytesEncoding::Hex),
        "raw" => bytes(v1::BytesEncoding::Raw),
        "uuid" if length.is_none() => generator::Kind::Uuid(v1::UuidGenerator {}),
        "uuid" => return Err("a uuid has no length".to_owned()),
        _ => {
            return Err(
                "expected password, base64url, hex, raw or uuid, with :LENGTH behind it where you like"
                    .into(),
            );
        }
    };
    Ok(v1::Generator { kind: Some(kind) })
}
