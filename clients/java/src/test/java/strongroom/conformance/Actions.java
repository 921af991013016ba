package strongroom.conformance;

import static strongroom.conformance.Runner.numberOf;
import static strongroom.conformance.Runner.objectOf;
import static strongroom.conformance.Runner.secretOf;
import static strongroom.conformance.Runner.valueOf;
import static strongroom.conformance.Runner.versionOf;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import strongroom.client.BatchItem;
import strongroom.client.Cache;
import strongroom.client.CachedSecret;
import strongroom.client.ClaimedRotation;
import strongroom.client.CreateOptions;
import strongroom.client.DeletedSecret;
import strongroom.client.Event;
import strongroom.client.EventType;
import strongroom.client.Explanation;
import strongroom.client.GetOptions;
import strongroom.client.Identity;
import strongroom.client.Namespace;
import strongroom.client.Question;
import strongroom.client.ReleaseOptions;
import strongroom.client.ResolvedDocument;
import strongroom.client.Right;
import strongroom.client.RotateOptions;
import strongroom.client.RotationPolicy;
import strongroom.client.Secret;
import strongroom.client.SecretVersion;
import strongroom.client.StagedVersion;
import strongroom.client.StrongroomClient;
import strongroom.client.UpdateOptions;
import strongroom.client.Watch;
import strongroom.conformance.Runner.Outcome;

/** The actions of the scenario. */
final class Actions {
    private Actions() {}

    static Outcome ofClient(StrongroomClient client, String action, Arguments a) {
        return switch (action) {
            case "create" -> secret(client.create(a.name(), a.source(), options -> create(options, a)));
            case "get" -> secret(client.get(a.name(), options -> get(options, a)));
            case "batch_get" -> batchGet(client, a);
            case "list" -> list(client, a);
            case "list_namespaces" -> listNamespaces(client, a);
            case "update" -> secret(client.update(a.name(), options -> update(options, a)));
            case "delete" -> {
                DeletedSecret deleted = client.delete(a.name(), options -> options.etag(a.text("etag", "")));
                yield new Outcome(objectOf("id", deleted.id()), deleted);
            }
            case "undelete" -> secret(client.undelete(a.text("id", ""), options -> options.newName(a.text("new_name", ""))));
            case "rotate" -> secret(client.rotate(a.name(), a.source(), options -> rotate(options, a)));
            case "stage" -> {
                StagedVersion staged = client.stage(a.name(), a.source());
                yield new Outcome(objectOf("version", staged.number()), staged);
            }
            case "promote" -> secret(client.promote(a.name(), a.number("version")));
            case "versions" -> {
                List<SecretVersion> versions = client.versions(a.name());
                yield new Outcome(objectOf("versions", versions.stream().map(Runner::versionOf).toList()), versions);
            }
            case "disable_version" -> version(client.disableVersion(a.name(), a.number("version")));
            case "enable_version" -> version(client.enableVersion(a.name(), a.number("version")));
            case "destroy_version" -> version(client.destroyVersion(a.name(), a.number("version")).version());
            case "acknowledge" -> version(client.acknowledge(
                    a.name(), a.number("version"), options -> options.consumer(a.text("consumer", ""))));
            case "claim" -> claim(client, a);
            case "release" -> {
                Secret secret = client.releaseRotation(a.text("claim_id", ""), options -> release(options, a));
                yield new Outcome(objectOf("name", secret.name()), secret);
            }
            case "resolve" -> resolve(client, a);
            case "whoami" -> {
                Identity identity = client.whoAmI();
                List<String> rights = identity.rights().stream().map(Right::toString).toList();
                yield new Outcome(
                        objectOf("principal", identity.principal(), "home_namespace", identity.homeNamespace(), "rights", rights),
                        identity);
            }
            case "explain" -> {
                Explanation explanation = client.explain(new Question(
                        Right.valueOf(a.text("right", "").toUpperCase(Locale.ROOT)), a.text("namespace", ""), a.name()));
                yield new Outcome(
                        objectOf("allowed", explanation.allowed(), "explanation", explanation.text(), "remedy", explanation.remedy()),
                        explanation);
            }
            case "close" -> {
                client.close();
                yield new Outcome(Map.of(), client);
            }
            default -> throw new UnsupportedOperationException("this runner does not know the action " + action);
        };
    }

    private static Outcome secret(Secret secret) {
        return new Outcome(secretOf(secret), secret);
    }

    private static Outcome version(SecretVersion version) {
        return new Outcome(versionOf(version), version);
    }

    private static void create(CreateOptions options, Arguments a) {
        if (a.has("description")) {
            options.description(a.text("description", ""));
        }
        if (a.has("metadata")) {
            options.metadata(a.pairs("metadata"));
        }
        if (a.flag("return_value")) {
            options.returnValue();
        }
        if (a.has("rotation_interval_seconds")) {
            options.rotationPolicy(RotationPolicy.every(a.seconds("rotation_interval_seconds")));
        }
        if (a.has("request_id")) {
            options.requestId(a.text("request_id", ""));
        }
    }

    private static void get(GetOptions options, Arguments a) {
        if (a.has("version")) {
            options.version(a.number("version"));
        }
        if (a.flag("metadata_only")) {
            options.metadataOnly();
        }
        if (a.flag("cached")) {
            options.cachedRead();
        }
        if (a.has("timeout_seconds")) {
            options.timeout(a.seconds("timeout_seconds"));
        }
    }

    private static void update(UpdateOptions options, Arguments a) {
        options.etag(a.text("etag", "")).minRevision(a.number("min_revision"));
        if (a.has("timeout_seconds")) {
            options.timeout(a.seconds("timeout_seconds"));
        }
        if (a.has("new_name")) {
            options.newName(a.text("new_name", ""));
        }
        if (a.has("value")) {
            options.value(a.value());
        }
        if (a.has("description")) {
            options.description(a.text("description", ""));
        }
        if (a.has("metadata")) {
            options.metadata(a.pairs("metadata"));
        }
    }

    private static void rotate(RotateOptions options, Arguments a) {
        if (a.has("grace_period_seconds")) {
            options.gracePeriod(a.seconds("grace_period_seconds"));
        }
        if (a.has("request_id")) {
            options.requestId(a.text("request_id", ""));
        }
    }

    private static void release(ReleaseOptions options, Arguments a) {
        if (a.has("error")) {
            options.failedBecause(a.text("error", ""));
        }
        if (a.has("retry_after_seconds")) {
            options.retryAfter(a.seconds("retry_after_seconds"));
        }
    }

    private static Outcome batchGet(StrongroomClient client, Arguments a) {
        List<BatchItem> items = client.batchGet(a.texts("names"));
        List<Object> results = new ArrayList<>();
        for (BatchItem item : items) {
            results.add(item.error() != null
                    ? objectOf("name", item.name(), "error", Runner.failureOf(item.error()))
                    : objectOf("name", item.name(), "secret", secretOf(item.secret())));
        }
        return new Outcome(objectOf("items", results), items);
    }

    private static Outcome list(StrongroomClient client, Arguments a) {
        List<Secret> secrets = client.list(options -> {
                    options.namePrefix(a.text("name_prefix", ""));
                    if (a.has("metadata")) {
                        options.metadata(a.pairs("metadata"));
                    }
                    if (a.has("page_size")) {
                        options.pageSize(a.number("page_size"));
                    }
                })
                .stream()
                .toList();
        return new Outcome(objectOf("names", secrets.stream().map(Secret::name).toList()), secrets);
    }

    private static Outcome listNamespaces(StrongroomClient client, Arguments a) {
        List<Namespace> namespaces = client.listNamespaces(options -> {
                    options.below(a.text("below", ""));
                    if (a.has("page_size")) {
                        options.pageSize(a.number("page_size"));
                    }
                })
                .stream()
                .toList();
        List<Object> listed = new ArrayList<>();
        namespaces.forEach(each -> listed.add(objectOf(
                "name", each.name(), "secrets", each.secrets(), "deleted_secrets", each.deletedSecrets())));
        return new Outcome(objectOf("namespaces", listed), namespaces);
    }

    private static Outcome claim(StrongroomClient client, Arguments a) {
        ClaimedRotation claim = client.claimRotation(options -> {
            options.namePrefix(a.text("name_prefix", ""));
            if (a.has("lease_seconds")) {
                options.lease(a.seconds("lease_seconds"));
            }
        });
        return new Outcome(
                objectOf(
                        "claim_id", claim.claimId(),
                        "name", claim.secret().name(),
                        "pending_version", numberOf(claim.pendingVersion())),
                claim);
    }

    private static Outcome resolve(StrongroomClient client, Arguments a) {
        ResolvedDocument resolved = client.resolve(a.document("document"), options -> {
            if (a.has("inputs")) {
                options.inputs(a.document("inputs"));
            }
            if (a.flag("validate_only")) {
                options.validateOnly();
            }
        });
        List<Object> credentials = new ArrayList<>();
        resolved.credentials().forEach(each -> credentials.add(objectOf(
                "path", each.path(), "secret_name", each.secretName(), "value", valueOf(each.value()))));
        List<Object> references = new ArrayList<>();
        resolved.references().forEach(each -> references.add(
                objectOf("name", each.name(), "exists", each.exists(), "readable", each.readable())));
        return new Outcome(
                objectOf("document", resolved.document(), "credentials", credentials, "references", references),
                resolved + " " + resolved.credentials());
    }

    static Outcome ofWatch(Map<String, Watch> watches, StrongroomClient client, String action, Arguments a) {
        String name = a.text("watch", "");
        switch (action) {
            case "watch_open" -> watches.put(name, client.watch(options -> {
                options.namePrefix(a.text("name_prefix", ""));
                if (a.flag("snapshot")) {
                    options.snapshot();
                }
            }));
            case "watch_close" -> watches.get(name).close();
            default -> {
                Event event = watches.get(name).next();
                while (event.type() == EventType.SYNCED) {
                    event = watches.get(name).next();
                }
                return new Outcome(
                        objectOf(
                                "type", event.type().toString(),
                                "name", event.secret().name(),
                                "former_name", event.formerName(),
                                "version", event.secret().version(),
                                "value", valueOf(event.secret().value())),
                        event);
            }
        }
        return new Outcome(Map.of(), watches.get(name));
    }

    static Outcome ofCache(Map<String, Cache> caches, StrongroomClient client, String action, Arguments a) {
        String name = a.text("cache", "");
        switch (action) {
            case "cached_open" -> caches.put(name, client.cached(a.seconds("serve_stale_seconds"), Cache.DEFAULT_SIZE));
            case "cached_close" -> caches.get(name).close();
            default -> {
                Cache cache = caches.get(name);
                CachedSecret cached = a.has("timeout_seconds")
                        ? cache.get(a.name(), a.seconds("timeout_seconds"))
                        : cache.get(a.name());
                Map<String, Object> result = secretOf(cached.secret());
                result.put("stale", cached.stale());
                return new Outcome(result, cached);
            }
        }
        return new Outcome(Map.of(), caches.get(name));
    }
}
