//! Connects, and reads what is not one call: watches and caches.

use std::time::Duration;

use serde_json::json;
use strongroom_client::{ApiKey, CachePolicy, Client, ConnectError, RetryPolicy, WatchEvent};

use crate::describe;
use crate::{Arguments, Done, Failed, Runner};

impl Runner {
    pub(crate) async fn perform(&mut self, args: Arguments<'_>, action: &str) -> Result<Done, Failed> {
        let name = args.optional("client").unwrap_or("main");
        if action == "connect" {
            let client = connect(args)?;
            let done = Done::new(json!({}), &client);
            self.clients.insert(name.to_owned(), client);
            return Ok(done);
        }
        let missing = || Failed::Unsupported(format!("there is no client {name}"));
        let mut client = self.clients.get(name).ok_or_else(missing)?.clone();
        if let Some(namespace) = args.optional("namespace")
            && action != "explain"
        {
            client = client.in_namespace(namespace);
        }
        if let Some(timeout) = args.seconds("timeout_seconds") {
            client = client.with_deadline(timeout);
        }
        match action {
            "close" => {
                client.close();
                Ok(Done::new(json!({}), &client))
            }
            "watch_open" => {
                let mut watch = client.watch().name_prefix(args.text("name_prefix"));
                if args.is_set("snapshot") {
                    watch = watch.snapshot();
                }
                self.watches.insert(args.text("watch").to_owned(), watch.events());
                Ok(Done::new(json!({}), &()))
            }
            "watch_next" => self.watch_next(args).await,
            "watch_close" => {
                self.watches.remove(args.text("watch"));
                Ok(Done::new(json!({}), &()))
            }
            "cached_open" => {
                let serve_stale = args.seconds("serve_stale_seconds").unwrap_or_default();
                let cache = client.cached(CachePolicy { serve_stale, ..CachePolicy::default() });
                let done = Done::new(json!({}), &cache);
                self.caches.insert(args.text("cache").to_owned(), cache);
                Ok(done)
            }
            "cached_get" => self.cached_get(args).await,
            "cached_close" => {
                self.caches.remove(args.text("cache"));
                Ok(Done::new(json!({}), &()))
            }
            _ => crate::secrets::perform(&client, args, action).await,
        }
    }

    async fn watch_next(&mut self, args: Arguments<'_>) -> Result<Done, Failed> {
        let missing = || Failed::Unsupported("there is no such watch".to_owned());
        let events = self.watches.get_mut(args.text("watch")).ok_or_else(missing)?;
        loop {
            let event = match events.next().await.ok_or_else(missing)?? {
                WatchEvent::Change(event) => event,
                _ => continue,
            };
            let reply = json!({
                "type": describe::enum_name(event.kind.as_str_name(), "SECRET_EVENT_TYPE_"),
                "name": event.secret.name,
                "former_name": event.former_name,
                "version": event.secret.version,
                "value": describe::value(event.secret.value.as_ref()),
            });
            return Ok(Done::new(reply, &event));
        }
    }

    async fn cached_get(&self, args: Arguments<'_>) -> Result<Done, Failed> {
        let missing = || Failed::Unsupported("there is no such cache".to_owned());
        let mut cache = self.caches.get(args.text("cache")).ok_or_else(missing)?.clone();
        if let Some(timeout) = args.seconds("timeout_seconds") {
            cache = cache.with_deadline(timeout);
        }
        let cached = cache.get(args.text("name")).await?;
        let mut reply = describe::secret(&cached);
        reply["stale"] = cached.is_stale().into();
        Ok(Done::new(reply, &cached))
    }
}

fn connect(args: Arguments<'_>) -> Result<Client, Failed> {
    let mut builder = Client::builder().servers(args.texts("servers"));
    if let Some(file) = args.optional("ca_cert") {
        builder = builder.ca_cert_file(file);
    }
    if let Some(key) = args.optional("api_key") {
        builder = builder.api_key(ApiKey::parse(key).map_err(ConnectError::from)?);
    }
    if let Some(file) = args.optional("api_key_file").or(args.optional("token_file")) {
        builder = builder.api_key_file(file);
    }
    if let Some(file) = args.optional("client_cert") {
        builder = builder.client_cert_file(file).client_key_file(args.text("client_key"));
    }
    if let Some(namespace) = args.optional("namespace") {
        builder = builder.namespace(namespace);
    }
    if let Some(attempts) = args.number("attempts") {
        let longest_delay = Duration::from_secs(2);
        builder =
            builder.retry(RetryPolicy { attempts: Some(attempts), longest_delay, ..RetryPolicy::default() });
    }
    Ok(builder.build()?)
}
