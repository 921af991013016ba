//! `strongroom inject` replaces the references in a document.

use std::path::{Path, PathBuf};

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Value as Json, json};
use strongroom_client::v1;
use zeroize::Zeroizing;

use super::connect::Connection;
use super::document::{Document, Format};
use super::failure::Failure;
use super::file;
use super::output::{self, Output, Target};
use super::{failure, strict_json};

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Replace the references in a document by the values of secrets\n\n\
In JSON, YAML and TOML, a string that begins with '$ ' is a reference: an expression such as '$ secrets.api_key' or \
\"$ f'https://{secrets.host}/'\". In a dotenv file, a value that begins with '$ ' is a reference. In any other text, \
references stand between '{{' and '}}'. docs/references.md describes the expressions.\n\n\
The service resolves all references at one moment. The rest of the document stays as it is, byte for byte, and is not \
sent. If a reference cannot be resolved, nothing is written.\n\n\
A 'secret_name' beside a 'tool' is not replaced, but the command fails if there is no secret of that name.";

/// The arguments of `strongroom inject`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom inject -i config.yaml -o /run/app/config.yaml
  strongroom inject -i .env.template -o .env
  echo 'postgres://app:{{ urlencode(secrets.db_password) }}@db/app' | strongroom inject
  strongroom inject -i task.json --input question.json
  strongroom inject -i config.yaml --validate-only")]
pub(super) struct Inject {
    /// The document; - is standard input
    #[arg(short = 'i', long = "in", value_name = "FILE", default_value = "-")]
    document: PathBuf,

    /// Write to FILE, which only you can read; - is standard output [default: -]
    ///
    /// With --validate-only, the form of the list: table or json.
    #[arg(short, long, value_name = "FILE", value_parser = Target::file())]
    output: Option<Target>,

    /// The format of the document [default: by the file's name without an ending such as .tpl, or by the name of -o, or else text]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// A JSON file that expressions see as 'input' and '_'; - is standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// A JSON file with an object that expressions see as 'inputs'; - is standard input
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,

    /// Read no values: list the references, and fail if a secret is missing or cannot be read
    #[arg(long)]
    validate_only: bool,
}

impl Inject {
    pub(super) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let to = Destination::of(self.output, self.validate_only)?;
        if let Destination::File(path) = &to
            && file::same(path, &self.document)
        {
            return Err(Failure::usage(
                "-o names the document itself, which would be overwritten: choose another file",
            ));
        }
        let all = [Some(&self.document), self.input.as_ref(), self.inputs.as_ref()];
        if all.into_iter().flatten().filter(|path| path.as_os_str() == "-").count() > 1 {
            return Err(Failure::usage(
                "standard input can be read only once: give a file to -i, --input or --inputs",
            ));
        }
        let inputs = inputs(self.input.as_deref(), self.inputs.as_deref())?;
        let of_result = match &to {
            Destination::File(path) => Format::named(path),
            Destination::Stdout | Destination::List(_) => None,
        };
        let format = self.format.or_else(|| Format::named(&self.document)).or(of_result);
        let source = Source::read(&self.document, format.unwrap_or(Format::Text))?;
        if !source.document.has_references() {
            failure::note(&source.without_references());
        }

        let message = v1::ResolveReferencesRequest {
            document: Some(source.document.skeleton()),
            inputs: Some(inputs),
            validate_only: self.validate_only,
            ..v1::ResolveReferencesRequest::default()
        };
        let reply = connection.client().await?.references().resolve(message).await;
        let reply = reply.map_err(|error| source.located(error.into()))?;
        match to {
            Destination::List(output) => source.print_references(output, &reply),
            Destination::Stdout => output::write(source.render(reply)?.as_bytes()),
            Destination::File(path) => file::replace(&path, source.render(reply)?.as_bytes()),
        }
    }
}

/// Where the result goes.
enum Destination {
    Stdout,
    File(PathBuf),
    List(Output),
}

impl Destination {
    fn of(output: Option<Target>, validate_only: bool) -> Result<Self, Failure> {
        match (output, validate_only) {
            (None, false) => Ok(Self::Stdout),
            (Some(Target::File(path)), false) if file::is_standard(&path) => Ok(Self::Stdout),
            (Some(Target::File(path)), false) => Ok(Self::File(path)),
            (Some(Target::Form(_)), false) => {
                Err(Failure::usage("-o has no meaning before 'inject': write '-o FILE' after it"))
            }
            (None, true) => Ok(Self::List(Output::or_default(None))),
            (Some(Target::Form(form)), true) => Ok(Self::List(form)),
            (Some(Target::File(path)), true) => match path.to_str() {
                Some("table") => Ok(Self::List(Output::Table)),
                Some("json") => Ok(Self::List(Output::Json)),
                _ => Err(Failure::usage("--validate-only writes no file: -o must be table or json")),
            },
        }
    }
}

/// The document and its name in messages.
struct Source {
    name: String,
    document: Document,
}

impl Source {
    fn read(path: &Path, format: Format) -> Result<Self, Failure> {
        let name = file::name(path);
        let malformed = |reason| Failure::usage(format!("{name} cannot be read: {reason}"));
        let document = Document::parse(file::read_text(path)?, format).map_err(malformed)?;
        Ok(Self { name, document })
    }

    /// Why nothing is replaced, and what can be done if something should have been.
    fn without_references(&self) -> String {
        let looked_for = self.document.looked_for();
        let other = if self.document.has_braces() {
            "; for references between '{{' and '}}', give --format text"
        } else {
            "; --format names another format"
        };
        format!("no reference was found in {}, which was read as {looked_for}{other}", self.name)
    }

    fn render(&self, reply: v1::ResolveReferencesResponse) -> Result<Zeroizing<String>, Failure> {
        let document = reply.document.ok_or_else(|| Failure::local("the service sent no document"))?;
        self.document.render(document).map_err(|reason| {
            Failure::local(format!("the references in {} cannot be replaced: {reason}", self.name))
        })
    }

    /// The refusal, with lines of the document instead of the service's pointers.
    fn located(&self, refusal: Failure) -> Failure {
        refusal.with_reasons(|reason| self.document.reason_here(reason)).with_fields(|field| {
            let pointer = field.strip_prefix("document")?;
            let (line, column) = self.document.position(pointer)?;
            let place = format!("{}:{line}:{column}", self.name);
            match self.document.own_pointer(pointer) {
                Some(pointer) if !pointer.is_empty() => Some(format!("{place} ({pointer})")),
                _ => Some(place),
            }
        })
    }

    fn print_references(&self, output: Output, reply: &v1::ResolveReferencesResponse) -> Result<(), Failure> {
        let place = |pointer: &String| match self.document.position(pointer) {
            Some((line, column)) => format!("{line}:{column}"),
            None => self.document.own_pointer(pointer).unwrap_or(pointer).to_owned(),
        };
        let place_json = |pointer: &String| {
            let mut place = json!({});
            if let (Some(pointer), Some(object)) = (self.document.own_pointer(pointer), place.as_object_mut())
            {
                object.insert("pointer".to_owned(), json!(pointer));
            }
            if let (Some((line, column)), Some(object)) =
                (self.document.position(pointer), place.as_object_mut())
            {
                object.insert("line".to_owned(), json!(line));
                object.insert("column".to_owned(), json!(column));
            }
            place
        };
        let reference_json = |reference: &v1::Reference| {
            json!({
                "name": reference.name,
                "exists": reference.exists,
                "readable": reference.readable,
                "places": reference.paths.iter().map(place_json).collect::<Vec<_>>(),
            })
        };
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let row = |reference: &v1::Reference| {
            let places: Vec<_> = reference.paths.iter().map(place).collect();
            vec![reference.name.clone(), yes(reference.exists), yes(reference.readable), places.join(" ")]
        };
        let json = json!({
            "references": reply.references.iter().map(reference_json).collect::<Vec<_>>(),
            "revision": reply.revision,
        });
        let rows = reply.references.iter().map(row).collect();
        output.print_all(&["name", "exists", "readable", "places"], rows, &json)?;

        let unusable = reply.references.iter().filter(|reference| !reference.exists || !reference.readable);
        let unusable: Vec<_> = unusable.map(|reference| reference.name.as_str()).collect();
        if unusable.is_empty() {
            return Ok(());
        }
        Err(Failure::local(format!(
            "these secrets are missing, or this API key cannot read them: {}",
            unusable.join(", ")
        )))
    }
}

/// The values that expressions see besides the secrets.
fn inputs(input: Option<&Path>, inputs: Option<&Path>) -> Result<Struct, Failure> {
    let mut fields = match inputs.map(wire_json).transpose()?.and_then(|value| value.kind) {
        None => Struct::default(),
        Some(Kind::StructValue(fields)) => fields,
        Some(_) => return Err(Failure::usage("--inputs must hold a JSON object")),
    };
    if let Some(path) = input
        && fields.fields.insert("input".to_owned(), wire_json(path)?).is_some()
    {
        return Err(Failure::usage("--inputs already has 'input': leave it out there, or leave --input out"));
    }
    Ok(fields)
}

fn wire_json(path: &Path) -> Result<Value, Failure> {
    let text = file::read_text(path)?;
    let json = strict_json::parse(&text)
        .map_err(|reason| Failure::usage(format!("{} is not JSON: {reason}", file::name(path))))?;
    wire_value(json, "")
}

/// Converts JSON to the wire's form. Refuses a number that the wire would change, and names its place by a JSON Pointer.
fn wire_value(json: Json, place: &str) -> Result<Value, Failure> {
    // Floating-point numbers cannot hold every larger whole number.
    const EXACT: u64 = 1 << 53;
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::String(text) => Kind::StringValue(text),
        Json::Number(number) => {
            let whole = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if whole.is_some_and(|whole| whole > EXACT) {
                return Err(Failure::usage(format!(
                    "the number at {place} has too many digits to be sent exactly: make it a string"
                )));
            }
            Kind::NumberValue(number.as_f64().unwrap_or_default())
        }
        Json::Array(items) => {
            let items = items.into_iter().enumerate();
            let values = items.map(|(at, item)| wire_value(item, &format!("{place}/{at}")));
            Kind::ListValue(ListValue { values: values.collect::<Result<_, _>>()? })
        }
        Json::Object(members) => {
            let fields = members.into_iter().map(|(name, value)| {
                let place = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
                wire_value(value, &place).map(|value| (name, value))
            });
            Kind::StructValue(Struct { fields: fields.collect::<Result<_, _>>()? })
        }
    };
    Ok(Value { kind: Some(kind) })
}
