//! `strongroom explain` says whether a principal has a right, and why.

use serde_json::json;
use strongroom_client::v1;

use super::binding::binding_json;
use super::connect::Connection;
use super::failure::Failure;
use super::object::Object;
use super::output::Output;
use super::right;

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Say whether a principal has a right, and why\n\n\
The answer names the binding that decides. If no binding gives the right, the answer has the command that would give it. The exit \
code is 0 if the principal has the right, and 77 if it does not.\n\n\
NAMESPACE/NAME: the last segment is read as a name if it cannot be a segment of a namespace, because it has an underscore or an \
upper-case letter. For every other name, give --name. Without a name, the question is whether the principal has the right on some \
secret of the namespace at least. Without a namespace, the question is about the service as a whole.\n\n\
The groups of a token are known only when it calls. So the answer about another principal counts no binding of its groups, and can \
be no for somebody who may: ask about each group too, with --as group:NAME:GROUP.";

/// The arguments of `strongroom explain`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom explain read team/ci/db_password
  strongroom explain read team/ci --name token --as key:abcdefghijklmnop
  strongroom explain operate")]
pub(super) struct Explain {
    /// The right: list, read, write, rotate, delete, manage_access, audit or operate
    #[arg(value_parser = right::parse)]
    right: v1::Right,

    /// The namespace, with or without the name of a secret
    #[arg(value_name = "NAMESPACE[/NAME]", value_parser = Object::parse)]
    object: Option<Object>,

    /// The name of the secret, which need not exist
    #[arg(long, requires = "object")]
    name: Option<String>,

    /// The principal, such as key:ID; you must manage access there [default: you]
    #[arg(long = "as", value_name = "PRINCIPAL", default_value = "", hide_default_value = true)]
    about: String,
}

impl Explain {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let object = self.object.map(|object| object.with_name(self.name)).transpose()?;
        let (namespace, name) = object.map(|object| (object.namespace, object.name)).unwrap_or_default();
        let message =
            v1::ExplainAccessRequest { principal: self.about, right: self.right.into(), namespace, name };
        let renamed = |field: &str| (field == "principal").then(|| "--as".to_owned());
        let refused = |error| Failure::from(error).with_fields(renamed);
        let reply = connection.client().await?.access().explain(message).await.map_err(refused)?;
        let decided_by = reply.binding.as_ref();
        let fields = [
            ("allowed", if reply.allowed { "yes" } else { "no" }.to_owned()),
            ("binding", decided_by.map(|binding| binding.id.clone()).unwrap_or_default()),
            ("why", if reply.allowed { reply.explanation.clone() } else { String::new() }),
            ("to allow it", reply.remedy.clone()),
        ];
        let json = json!({
            "allowed": reply.allowed,
            "binding": decided_by.map(binding_json),
            "explanation": reply.explanation,
            "remedy": reply.remedy,
            "revision": reply.revision,
        });
        output.print(&fields, &json)?;
        if reply.allowed { Ok(()) } else { Err(Failure::denied(reply.explanation)) }
    }
}
