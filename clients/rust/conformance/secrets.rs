//! The calls about secrets, documents and access.

use data_encoding::BASE64;
use serde_json::{Value as Json, json};
use strongroom_client::{Client, Consistency, Generator, NewValue, Right, RotationPolicy, Value};

use crate::{Arguments, Done, Failed, describe};

pub(crate) async fn perform(client: &Client, args: Arguments<'_>, action: &str) -> Result<Done, Failed> {
    let name = args.text("name");
    match action {
        "create" => {
            let mut call = client.create(name, new_value(args)?).description(args.text("description"));
            for (key, value) in args.pairs("metadata") {
                call = call.metadata(key, value);
            }
            if args.is_set("return_value") {
                call = call.return_value();
            }
            if let Some(interval) = args.seconds("rotation_interval_seconds") {
                call =
                    call.rotation_policy(RotationPolicy { interval: Some(interval), ..Default::default() });
            }
            if let Some(id) = args.optional("request_id") {
                call = call.request_id(id);
            }
            done(&call.await?)
        }
        "get" => {
            let mut call = client.get(name);
            if let Some(version) = args.number("version") {
                call = call.version(version);
            }
            if args.is_set("metadata_only") {
                call = call.metadata_only();
            }
            if args.is_set("cached") {
                call = call.consistency(Consistency::Cached);
            }
            done(&call.await?)
        }
        "batch_get" => {
            let items = client.batch_get(args.texts("names")).await?;
            let reply = items.iter().map(|item| match &item.secret {
                Ok(secret) => json!({"name": item.name, "secret": describe::secret(secret)}),
                Err(error) => json!({"name": item.name, "error": describe::failure(error)}),
            });
            Ok(Done::new(json!({"items": reply.collect::<Vec<_>>()}), &items))
        }
        "list" => list(client, args).await,
        "list_namespaces" => list_namespaces(client, args).await,
        "update" => {
            let mut call = client.update(name).etag(args.text("etag"));
            if let Some(new_name) = args.optional("new_name") {
                call = call.new_name(new_name);
            }
            if !args.0["value"].is_null() {
                call = call.value(value(args)?);
            }
            if let Some(description) = args.optional("description") {
                call = call.description(description);
            }
            if !args.0["metadata"].is_null() {
                call = call.metadata(args.pairs("metadata"));
            }
            if let Some(revision) = args.number("min_revision") {
                call = call.min_revision(revision.into());
            }
            done(&call.await?)
        }
        "delete" => {
            let deleted = client.delete(name).etag(args.text("etag")).await?;
            Ok(Done::new(json!({"id": deleted.id}), &deleted))
        }
        "undelete" => done(&client.undelete(args.text("id")).new_name(args.text("new_name")).await?),
        "resolve" => resolve(client, args).await,
        "whoami" => {
            let identity = client.whoami().await?;
            let rights =
                identity.rights.iter().map(|right| describe::enum_name(right.as_str_name(), "RIGHT_"));
            let reply = json!({
                "principal": identity.principal, "home_namespace": identity.home_namespace,
                "rights": rights.collect::<Vec<_>>(),
            });
            Ok(Done::new(reply, &identity))
        }
        "explain" => {
            let right = format!("RIGHT_{}", args.text("right").to_ascii_uppercase());
            let right = Right::from_str_name(&right).ok_or_else(|| Failed::Unsupported(right))?;
            let call = client.explain(right).namespace(args.text("namespace")).name(name);
            let explanation = call.await?;
            let reply = json!({
                "allowed": explanation.allowed, "explanation": explanation.text, "remedy": explanation.remedy,
            });
            Ok(Done::new(reply, &explanation))
        }
        _ => crate::rotation::perform(client, args, action).await,
    }
}

pub(crate) fn done(secret: &strongroom_client::Secret) -> Result<Done, Failed> {
    Ok(Done::new(describe::secret(secret), secret))
}

fn value(args: Arguments<'_>) -> Result<Value, Failed> {
    let given = &args.0["value"];
    if let Some(text) = given["text"].as_str() {
        return Ok(Value::text(text));
    }
    let binary = given["binary"].as_str().and_then(|binary| BASE64.decode(binary.as_bytes()).ok());
    binary.map(Value::binary).ok_or_else(|| Failed::Unsupported("a value is text or binary".to_owned()))
}

pub(crate) fn new_value(args: Arguments<'_>) -> Result<NewValue, Failed> {
    match Arguments(&args.0["generate"]).number("password_length") {
        Some(length) => Ok(Generator::password(length).into()),
        None => Ok(value(args)?.into()),
    }
}

async fn list(client: &Client, args: Arguments<'_>) -> Result<Done, Failed> {
    let mut list = client.list().name_prefix(args.text("name_prefix"));
    for (key, value) in args.pairs("metadata") {
        list = list.matching(key, value);
    }
    if let Some(size) = args.number("page_size").and_then(|size| size.try_into().ok()) {
        list = list.page_size(size);
    }
    let (mut secrets, mut listed) = (list.stream(), Vec::new());
    while let Some(secret) = secrets.next().await {
        listed.push(secret?);
    }
    let names: Vec<_> = listed.iter().map(|secret| &secret.name).collect();
    Ok(Done::new(json!({"names": names}), &listed))
}

async fn list_namespaces(client: &Client, args: Arguments<'_>) -> Result<Done, Failed> {
    let mut list = client.list_namespaces().below(args.text("below"));
    if let Some(size) = args.number("page_size").and_then(|size| size.try_into().ok()) {
        list = list.page_size(size);
    }
    let (mut namespaces, mut listed) = (list.stream(), Vec::new());
    while let Some(namespace) = namespaces.next().await {
        listed.push(namespace?);
    }
    let reply = listed.iter().map(|namespace| {
        json!({
            "name": namespace.name, "secrets": namespace.secrets, "deleted_secrets": namespace.deleted_secrets,
        })
    });
    Ok(Done::new(json!({"namespaces": reply.collect::<Vec<_>>()}), &listed))
}

async fn resolve(client: &Client, args: Arguments<'_>) -> Result<Done, Failed> {
    let mut call = client.resolve(args.0["document"].clone());
    if !args.0["inputs"].is_null() {
        call = call.inputs(args.0["inputs"].clone());
    }
    if args.is_set("validate_only") {
        call = call.validate_only();
    }
    let resolved = call.await?;
    let credentials = resolved.credentials.iter().map(|credential| {
        let value = describe::value(credential.value.as_ref());
        json!({"path": credential.path, "secret_name": credential.secret_name, "value": value})
    });
    let references = resolved.references.iter().map(|reference| {
        json!({"name": reference.name, "exists": reference.exists, "readable": reference.readable})
    });
    let reply = json!({
        "document": resolved.document().cloned().unwrap_or(Json::Null),
        "credentials": credentials.collect::<Vec<_>>(),
        "references": references.collect::<Vec<_>>(),
    });
    Ok(Done::new(reply, &resolved))
}
