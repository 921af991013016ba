package strongroom.conformance;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import strongroom.client.Cache;
import strongroom.client.ClientBuilder;
import strongroom.client.RetryPolicy;
import strongroom.client.Secret;
import strongroom.client.SecretValue;
import strongroom.client.SecretVersion;
import strongroom.client.StrongroomClient;
import strongroom.client.StrongroomException;
import strongroom.client.Watch;

/** The runner of the conformance scenario for this library: clients/conformance/README.md describes the protocol. */
public final class Runner {
    private static final Gson JSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
    private static final Map<String, String> CLASSES = Map.ofEntries(
            Map.entry("ConfigurationException", "configuration"),
            Map.entry("ClientClosedException", "closed"),
            Map.entry("ValidationException", "validation"),
            Map.entry("NotFoundException", "not_found"),
            Map.entry("AlreadyExistsException", "already_exists"),
            Map.entry("AuthenticationException", "authentication"),
            Map.entry("PermissionDeniedException", "permission_denied"),
            Map.entry("ConflictException", "conflict"),
            Map.entry("FailedPreconditionException", "failed_precondition"),
            Map.entry("RevisionCompactedException", "revision_compacted"),
            Map.entry("IntegrityException", "integrity"),
            Map.entry("LimitExceededException", "limit_exceeded"),
            Map.entry("UnavailableException", "unavailable"),
            Map.entry("DeadlineExceededException", "deadline_exceeded"),
            Map.entry("NotServedException", "not_served"),
            Map.entry("InternalException", "internal"));

    final Map<String, StrongroomClient> clients = new HashMap<>();
    final Map<String, Watch> watches = new HashMap<>();
    final Map<String, Cache> caches = new HashMap<>();

    /** The result for the driver, and the result of the library, to be dumped. */
    record Outcome(Map<String, Object> result, Object shown) {}

    /** Reads a line, makes a call, and writes a line, until standard input ends. */
    public static void main(String[] arguments) throws IOException {
        Runner runner = new Runner();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream output = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            output.println(JSON.toJson(runner.reply(JsonParser.parseString(line).getAsJsonObject())));
        }
        // Threads of open watches and clients must not keep the program.
        System.exit(0);
    }

    private Map<String, Object> reply(JsonObject step) {
        Map<String, Object> reply = new LinkedHashMap<>();
        reply.put("step", step.get("step").getAsString());
        Object shown;
        try {
            Outcome outcome = perform(step.get("action").getAsString(), new Arguments(step.getAsJsonObject("args")));
            reply.put("ok", outcome.result());
            shown = outcome.shown();
        } catch (StrongroomException failure) {
            reply.put("error", failureOf(failure));
            shown = traceOf(failure);
        } catch (UnsupportedOperationException failure) {
            reply.put("error", objectOf("class", "unsupported", "message", failure.getMessage()));
            shown = "";
        }
        reply.put("dump", String.valueOf(shown));
        return reply;
    }

    private Outcome perform(String action, Arguments given) {
        if (action.equals("connect")) {
            return connect(given);
        }
        StrongroomClient client = clients.get(given.text("client", "main"));
        if (given.has("namespace")) {
            client = client.in(given.text("namespace", ""));
        }
        return switch (action) {
            case "watch_open", "watch_next", "watch_close" -> Actions.ofWatch(watches, client, action, given);
            case "cached_open", "cached_get", "cached_close" -> Actions.ofCache(caches, client, action, given);
            default -> Actions.ofClient(client, action, given);
        };
    }

    private Outcome connect(Arguments given) {
        ClientBuilder builder = StrongroomClient.builder()
                .addresses(given.texts("servers").toArray(String[]::new));
        if (given.has("ca_cert")) {
            builder.caCertificate(Path.of(given.text("ca_cert", "")));
        }
        if (given.has("api_key")) {
            builder.apiKey(given.text("api_key", ""));
        }
        if (given.has("api_key_file")) {
            builder.apiKeyFile(Path.of(given.text("api_key_file", "")));
        }
        if (given.has("token_file")) {
            builder.tokenFile(Path.of(given.text("token_file", "")));
        }
        if (given.has("client_cert")) {
            builder.clientCertificate(Path.of(given.text("client_cert", "")), Path.of(given.text("client_key", "")));
        }
        if (given.has("namespace")) {
            builder.namespace(given.text("namespace", ""));
        }
        if (given.has("attempts")) {
            builder.retry(new RetryPolicy(given.number("attempts"), Duration.ofMillis(100), Duration.ofSeconds(2)));
        }
        StrongroomClient client = builder.build();
        clients.put(given.text("client", "main"), client);
        return new Outcome(Map.of(), client + " " + builder + " " + client.async());
    }

    static Map<String, Object> failureOf(StrongroomException failure) {
        return objectOf(
                "class", CLASSES.get(failure.getClass().getSimpleName()),
                "reason", failure.reason().isEmpty() ? null : failure.reason(),
                "code", failure.code() == null ? null : failure.code().name(),
                "message", failure.getMessage(),
                "request_id", failure.requestId());
    }

    private static String traceOf(Throwable failure) {
        java.io.StringWriter text = new java.io.StringWriter();
        failure.printStackTrace(new java.io.PrintWriter(text));
        return text.toString();
    }

    static Map<String, Object> secretOf(Secret secret) {
        return objectOf(
                "namespace", secret.namespace(),
                "name", secret.name(),
                "id", secret.id(),
                "value", valueOf(secret.value()),
                "description", secret.description(),
                "metadata", secret.metadata(),
                "version", secret.version(),
                "etag", secret.etag(),
                "value_version", numberOf(secret.valueVersion()),
                "pending_version", numberOf(secret.pendingVersion()),
                "revision", secret.revision());
    }

    static Map<String, Object> versionOf(SecretVersion version) {
        return objectOf(
                "number", version.number(),
                "state", version.state().name().toLowerCase(Locale.ROOT),
                "current", version.current());
    }

    static Object valueOf(SecretValue value) {
        if (value.isRedacted()) {
            return null;
        }
        return value.isBinary()
                ? Map.of("binary", Base64.getEncoder().encodeToString(value.bytes()))
                : Map.of("text", value.text());
    }

    static Integer numberOf(int number) {
        return number == 0 ? null : number;
    }

    static Map<String, Object> objectOf(Object... pairs) {
        Map<String, Object> object = new LinkedHashMap<>();
        for (int at = 0; at < pairs.length; at += 2) {
            object.put((String) pairs[at], pairs[at + 1]);
        }
        return object;
    }
}
