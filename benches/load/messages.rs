//! The messages of the requests, which follow from a number each: the same load has the same requests.

use prost::Message;
use strongroom::api::v1::secret_value::Kind;
use strongroom::api::v1::{
    BatchGetSecretsRequest, CreateSecretRequest, DeleteSecretRequest, GetSecretRequest, ListSecretsRequest,
    RotateSecretRequest, SecretValue, UpdateSecretRequest,
};

use crate::mix::Work;
use crate::tools::Request;

/// The metadata pair of all secrets that a load makes.
pub const MADE_BY: (&str, &str) = ("made_by", "load-generator");
/// The values that the pair `owner` has, and so the part of the secrets that a filter by one finds.
const OWNERS: usize = 10;
/// The secrets that requests take turns with. They are spread over all.
pub const SPREAD: usize = 1000;
const BATCH: usize = 10;
const PAGE: usize = 100;

/// What all requests have in common.
#[derive(Clone)]
pub struct Messages {
    pub key: String,
    pub namespace: String,
    /// The secrets that exist before the load.
    pub secrets: usize,
    pub value_size: usize,
}

impl Messages {
    /// The request that creates one of the secrets before the load.
    pub fn prepared(&self, number: usize) -> CreateSecretRequest {
        self.create(name(number), number)
    }

    /// The request of a kind with this number. Those of one number create, and delete, the same secret.
    pub fn request(&self, work: Work, number: usize) -> Request {
        let namespace = self.namespace.clone();
        let name = name(number % SPREAD * self.secrets / SPREAD);
        match work {
            Work::Get => {
                let message = GetSecretRequest { namespace, name, ..Default::default() };
                self.of("GetSecret", &message)
            }
            Work::BatchGet => {
                let names = (0..BATCH).map(|nth| self::name((number + nth) % SPREAD * self.secrets / SPREAD));
                let message =
                    BatchGetSecretsRequest { namespace, names: names.collect(), ..Default::default() };
                self.of("BatchGetSecrets", &message)
            }
            Work::List => self.page(number, self.secrets, &[]),
            Work::ListFiltered => self.page(number, self.secrets / OWNERS, &[("owner".to_owned(), owner(0))]),
            Work::Create => self.of("CreateSecret", &self.create(made(number), number)),
            Work::Update => {
                let description = Some(format!("The password of the service's database, {number}."));
                let message = UpdateSecretRequest { namespace, name, description, ..Default::default() };
                self.of("UpdateSecret", &message)
            }
            Work::Rotate => {
                let value = Some(self.value());
                let message = RotateSecretRequest { namespace, name, value, ..Default::default() };
                self.of("RotateSecret", &message)
            }
            Work::Delete => {
                let message = DeleteSecretRequest { namespace, name: made(number), ..Default::default() };
                self.of("DeleteSecret", &message)
            }
        }
    }

    /// A page at one of 100 offsets, which are spread over so many secrets.
    fn page(&self, number: usize, of: usize, metadata: &[(String, String)]) -> Request {
        let last = of.saturating_sub(PAGE);
        let message = ListSecretsRequest {
            namespace: self.namespace.clone(),
            offset: i32::try_from(last * (number % 100) / 99).ok(),
            metadata: metadata.iter().cloned().collect(),
            ..Default::default()
        };
        self.of("ListSecrets", &message)
    }

    fn create(&self, name: String, number: usize) -> CreateSecretRequest {
        let pairs = [("owner".to_owned(), owner(number)), (MADE_BY.0.to_owned(), MADE_BY.1.to_owned())];
        CreateSecretRequest {
            namespace: self.namespace.clone(),
            name,
            value: Some(self.value()),
            description: "The password of the service's database.".into(),
            metadata: pairs.into(),
            ..Default::default()
        }
    }

    fn value(&self) -> SecretValue {
        SecretValue { kind: Some(Kind::Text("v".repeat(self.value_size))) }
    }

    fn of(&self, method: &str, message: &impl Message) -> Request {
        Request::new(&format!("strongroom.v1.SecretService/{method}"), &self.key, message)
    }
}

fn name(number: usize) -> String {
    format!("service_{number:07}_database_password")
}

/// The name of a secret that the load itself creates.
fn made(number: usize) -> String {
    format!("made_{number:07}_database_password")
}

fn owner(number: usize) -> String {
    format!("team_{}", number % OWNERS)
}
