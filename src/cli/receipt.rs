//! `strongroom receipt` checks the receipts of destroyed versions.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use strongroom_client::v1;

use super::failure::{Failure, note};
use super::output::{self, Output};
use super::{file, strict_json};
use crate::crypto::PublicKey;
use crate::domain::{Destruction, Namespace, SecretId, SecretName, Timestamp};

/// The commands below `strongroom receipt`.
#[derive(Subcommand)]
pub(super) enum Receipt {
    /// Check the receipt of a destroyed version
    #[command(long_about = ABOUT)]
    Verify(Verify),
}

/// The beginning of the long help of `receipt verify`.
const ABOUT: &str = "\
Check the receipt of a destroyed version\n\n\
The check needs no service. The receipt is the JSON that 'strongroom destroy' prints, or the 'receipt' in it. It is valid if \
its fields are the signed statement and the signature is by the service's key. 'strongroom status' shows that key: give it \
with --public-key. Without it, a forged receipt that is signed by any other key is valid too.";

/// The arguments of `strongroom receipt verify`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  strongroom receipt verify --public-key \"$KEY\" db_password-3.receipt.json")]
pub(super) struct Verify {
    /// The file of the receipt; - is standard input
    file: PathBuf,

    /// The service's signing key, as 'strongroom status' shows it
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    public_key: Option<PublicKey>,
}

impl Receipt {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        match self {
            Self::Verify(verify) => verify.run(output),
        }
    }
}

impl Verify {
    fn run(self, output: Output) -> Result<(), Failure> {
        let receipt = Written::read(&self.file)?;
        let (destruction, key) = receipt.check(self.public_key.as_ref())?;
        if self.public_key.is_none() {
            note(
                "only the receipt itself says whose key signed it: give the service's key with --public-key",
            );
        }
        let data_key = destruction.data_key.map(|digest| HEXLOWER.encode(&digest)).unwrap_or_default();
        let key_known = self.public_key.is_some();
        let json = json!({
            "valid": true,
            "namespace": destruction.namespace.as_str(),
            "name": destruction.name.as_str(),
            "secret_id": destruction.secret_id.to_string(),
            "version": destruction.version,
            "destroyed_at": destruction.destroyed_at.to_string(),
            "data_key_sha256": data_key,
            "key_id": key.id(),
            "public_key_compared": key_known,
        });
        let signed_by = if key_known { "the key given" } else { "the key in the receipt" };
        let fields = [
            ("valid", format!("yes, signed by {signed_by}")),
            ("namespace", destruction.namespace.to_string()),
            ("name", destruction.name.to_string()),
            ("secret id", destruction.secret_id.to_string()),
            ("version", destruction.version.to_string()),
            ("destroyed", destruction.destroyed_at.to_string()),
            ("data key", if data_key.is_empty() { "unknown".to_owned() } else { data_key }),
            ("key id", key.id()),
        ];
        output.print(&fields, &json)
    }
}

/// A receipt in JSON, with the field names of the wire.
pub(super) fn receipt_json(receipt: &v1::DestructionReceipt) -> Json {
    json!({
        "namespace": receipt.namespace,
        "name": receipt.name,
        "secret_id": receipt.secret_id,
        "version": receipt.version,
        "destroyed_at": output::time(receipt.destroyed_at.as_ref()),
        "data_key_sha256": receipt.data_key_sha256,
        "statement": BASE64.encode(&receipt.statement),
        "signature": BASE64.encode(&receipt.signature),
        "public_key": BASE64.encode(&receipt.public_key),
        "key_id": receipt.key_id,
    })
}

/// The lines of a receipt.
pub(super) fn receipt_fields(receipt: &v1::DestructionReceipt) -> Vec<(&'static str, String)> {
    let unknown = || "unknown: the stored key was damaged".to_owned();
    let data_key = Some(receipt.data_key_sha256.clone()).filter(|digest| !digest.is_empty());
    vec![
        ("destroyed", format!("version {} of {}", receipt.version, receipt.name)),
        ("namespace", receipt.namespace.clone()),
        ("at", output::time(receipt.destroyed_at.as_ref())),
        ("secret id", receipt.secret_id.clone()),
        ("data key", data_key.unwrap_or_else(unknown)),
        ("signature", BASE64.encode(&receipt.signature)),
        ("key id", receipt.key_id.clone()),
    ]
}

fn public_key(text: &str) -> Result<PublicKey, &'static str> {
    let bytes = BASE64.decode(text.trim().as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).map(PublicKey).ok_or("must be 32 bytes in base64")
}

/// A receipt in a file, with the field names of the wire or of protobuf's JSON, which grpcurl writes.
#[derive(Deserialize)]
struct Written {
    namespace: String,
    name: String,
    #[serde(alias = "secretId")]
    secret_id: String,
    version: u32,
    #[serde(alias = "destroyedAt")]
    destroyed_at: String,
    #[serde(alias = "dataKeySha256", default)]
    data_key_sha256: String,
    statement: String,
    signature: String,
    #[serde(alias = "publicKey")]
    public_key: String,
    #[serde(alias = "keyId")]
    key_id: String,
}

impl Written {
    fn read(path: &Path) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", path.display()));
        let text = if path == Path::new("-") {
            std::io::read_to_string(std::io::stdin().lock()).map_err(failed)?
        } else {
            std::fs::read_to_string(path).map_err(failed)?
        };
        let none = || Failure::local(format!("{} has no receipt in JSON", file::name(path)));
        let mut json = strict_json::parse(&text)
            .map_err(|why| Failure::local(format!("{} has no receipt in JSON: {why}", file::name(path))))?;
        let inner = json.get_mut("receipt").map(Json::take);
        serde_json::from_value(inner.unwrap_or(json)).map_err(|_| none())
    }

    /// Checks the receipt; returns its statement and the key that signed it.
    fn check(&self, known: Option<&PublicKey>) -> Result<(Destruction, PublicKey), Failure> {
        let wrong = |what: &str| Failure::local(format!("the receipt is not valid: {what}"));
        let key = public_key(&self.public_key).map_err(|_| wrong("its public key is not a key"))?;
        if known.is_some_and(|known| *known != key) {
            return Err(wrong("it is signed by another key than the one given"));
        }
        if self.key_id != key.id() {
            return Err(wrong("its key_id is not that of its public key"));
        }
        let statement = BASE64.decode(self.statement.as_bytes());
        let statement = statement.map_err(|_| wrong("its statement is not in base64"))?;
        let signature = BASE64.decode(self.signature.as_bytes());
        let signature = signature.map_err(|_| wrong("its signature is not in base64"))?;
        if !key.verify(&statement, &signature) {
            return Err(wrong("the signature is not by its public key, or not of its statement"));
        }
        let destruction = self.destruction().ok_or_else(|| wrong("its fields are not those of a receipt"))?;
        if destruction.to_string().as_bytes() != statement.as_slice() {
            return Err(wrong("its fields are not the signed statement"));
        }
        Ok((destruction, key))
    }

    /// The statement that the fields make; `None` if a field is not as a receipt has it.
    fn destruction(&self) -> Option<Destruction> {
        let at: prost_types::Timestamp = self.destroyed_at.parse().ok()?;
        let micros = at.seconds.checked_mul(1_000_000)?.checked_add(i64::from(at.nanos / 1000))?;
        let digest = HEXLOWER.decode(self.data_key_sha256.as_bytes()).ok()?;
        let data_key = if digest.is_empty() { None } else { Some(digest.try_into().ok()?) };
        Some(Destruction {
            namespace: Namespace::parse(&self.namespace).ok()?,
            name: SecretName::parse(&self.name).ok()?,
            secret_id: SecretId::parse(&self.secret_id)?,
            version: self.version,
            destroyed_at: Timestamp::from_micros(micros),
            data_key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Keyring, MasterKeys};

    /// A valid receipt, and the key that signed it.
    fn receipt() -> (Json, PublicKey) {
        let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
        let destruction = Destruction {
            namespace: Namespace::parse("team/a").unwrap(),
            name: SecretName::parse("a").unwrap(),
            secret_id: SecretId::from_bytes([7; 16]),
            version: 3,
            destroyed_at: Timestamp::from_micros(1_764_007_876_120_000),
            data_key: Some([9; 32]),
        };
        let statement = destruction.to_string();
        let receipt = v1::DestructionReceipt {
            namespace: "team/a".into(),
            name: "a".into(),
            secret_id: destruction.secret_id.to_string(),
            version: 3,
            destroyed_at: Some(prost_types::Timestamp { seconds: 1_764_007_876, nanos: 120_000_000 }),
            data_key_sha256: "09".repeat(32),
            signature: keyring.sign(statement.as_bytes()).unwrap().to_vec(),
            statement: statement.into_bytes(),
            public_key: keyring.public_key().0.to_vec(),
            key_id: keyring.public_key().id(),
        };
        (receipt_json(&receipt), keyring.public_key().clone())
    }

    fn check(json: &Json, known: Option<&PublicKey>) -> Result<Destruction, String> {
        let written: Written = serde_json::from_value(json.clone()).map_err(|error| error.to_string())?;
        let checked = written.check(known).map_err(|failure| failure.brief())?;
        Ok(checked.0)
    }

    #[test]
    fn a_valid_receipt_is_valid_with_and_without_the_key() {
        let (json, key) = receipt();
        assert_eq!(check(&json, None).unwrap().version, 3);
        assert_eq!(check(&json, Some(&key)), check(&json, None));
        let refused = check(&json, Some(&receipt().1)).unwrap_err();
        assert!(refused.contains("another key"), "{refused}");
    }

    #[test]
    fn a_receipt_in_the_form_of_protobuf_is_read_too() {
        let (json, _) = receipt();
        let text = json.to_string();
        let renamed = ["secret_id", "destroyed_at", "data_key_sha256", "public_key", "key_id"]
            .into_iter()
            .fold(text, |text, name| {
                let mut camel = String::new();
                for (at, word) in name.split('_').enumerate() {
                    let (first, rest) = word.split_at(1);
                    camel += &if at == 0 { word.to_owned() } else { first.to_ascii_uppercase() + rest };
                }
                text.replace(name, &camel)
            });
        assert!(renamed.contains("dataKeySha256"), "{renamed}");
        assert!(check(&serde_json::from_str(&renamed).unwrap(), None).is_ok());
    }

    #[test]
    fn a_receipt_with_an_altered_field_is_refused() {
        let (json, _) = receipt();
        let (other, _) = receipt();
        let altered = [
            ("namespace", json!("team/b")),
            ("name", json!("b")),
            ("secret_id", json!(SecretId::from_bytes([8; 16]).to_string())),
            ("version", json!(4)),
            ("destroyed_at", json!("2025-11-24T18:11:16.120001Z")),
            ("data_key_sha256", json!("08".repeat(32))),
            ("data_key_sha256", json!("")),
            ("statement", json!(BASE64.encode(b"something else"))),
            ("signature", other["signature"].clone()),
            ("public_key", other["public_key"].clone()),
            ("key_id", other["key_id"].clone()),
            ("name", json!("a\nversion: 4")),
            ("signature", json!("no base64")),
        ];
        for (field, value) in altered {
            let mut altered = json.clone();
            altered[field] = value;
            assert!(check(&altered, None).is_err(), "{field}");
        }
        for field in json.as_object().unwrap().keys() {
            let mut without = json.clone();
            without.as_object_mut().unwrap().remove(field);
            assert!(check(&without, None).is_err(), "{field}");
        }
    }
}
