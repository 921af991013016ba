package strongroom.client;

import io.grpc.Status;
import java.time.Clock;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;

/**
 * Makes calls to a Strongroom service. Many threads can use it at the same time, over one connection to each server. Make it
 * once, and close it at the end.
 *
 * <pre>{@code
 * try (var client = StrongroomClient.builder()
 *         .addresses("https://secrets.example.com:50051")
 *         .apiKeyFile(Path.of("/run/secrets/strongroom.key"))
 *         .build()) {
 *     connect(client.get("db_password").value().text());
 * }
 * }</pre>
 *
 * <p>A call takes 30 seconds at most, unless the client or the options say otherwise. It is made again when the server is
 * unavailable or busy: see {@link RetryPolicy}. That is safe, because each change carries one request id in all its attempts.
 * A call that failed throws a {@link StrongroomException}.
 */
public final class StrongroomClient implements AutoCloseable {
    /** The version of this library, as it stands in the user agent. */
    public static final String VERSION = "0.1.0";

    private final Link link;
    private final AsyncStrongroomClient async;

    StrongroomClient(Link link, String namespace) {
        this.link = link;
        this.async = new AsyncStrongroomClient(link, namespace);
    }

    /**
     * Begins to set up a client. What the builder is not told comes from the environment: STRONGROOM_SERVER,
     * STRONGROOM_API_KEY or STRONGROOM_API_KEY_FILE, STRONGROOM_NAMESPACE, STRONGROOM_CA_CERT, STRONGROOM_CLIENT_CERT and
     * STRONGROOM_CLIENT_KEY. An empty variable counts as unset.
     *
     * @return a builder
     */
    public static ClientBuilder builder() {
        return new ClientBuilder();
    }

    /**
     * Makes a client with the settings of the environment; see {@link #builder()}.
     *
     * @return the client
     * @throws ConfigurationException when they cannot be used
     */
    public static StrongroomClient fromEnvironment() {
        return builder().build();
    }

    /**
     * Returns the same calls as futures.
     *
     * @return a view of this client
     */
    public AsyncStrongroomClient async() {
        return async;
    }

    /**
     * Returns a view of the client for another namespace. It shares the connections.
     *
     * @param namespace the namespace; empty: the home namespace of the credential
     * @return the view
     */
    public StrongroomClient in(String namespace) {
        return new StrongroomClient(link, namespace);
    }

    /**
     * Ends the connections, and with them the calls and watches that are under way, also those of views. Further calls fail with
     * a {@link ClientClosedException}.
     */
    @Override
    public void close() {
        link.close();
    }

    /** Names the client without its credential. */
    @Override
    public String toString() {
        return "StrongroomClient(" + link.problems + ", namespace \"" + async.namespace + "\")";
    }

    /**
     * Creates a secret with version 1.
     *
     * @param name 1 to 128 characters of {@code [A-Za-z_][A-Za-z0-9_]*}
     * @param from the value, or how the server generates it
     * @return the secret; its value is redacted, unless the server generated it and {@code returnValue} is set
     */
    public Secret create(String name, Source from) {
        return await(async.create(name, from));
    }

    /**
     * Creates a secret with version 1.
     *
     * @param name 1 to 128 characters of {@code [A-Za-z_][A-Za-z0-9_]*}
     * @param from the value, or how the server generates it
     * @param options sets the options
     * @return the secret; its value is redacted, unless the server generated it and {@code returnValue} is set
     */
    public Secret create(String name, Source from, Consumer<CreateOptions> options) {
        return await(async.create(name, from, options));
    }

    /**
     * Returns a secret with its plaintext value.
     *
     * @param name the name of the secret
     * @return the secret
     */
    public Secret get(String name) {
        return await(async.get(name));
    }

    /**
     * Returns a secret with its plaintext value.
     *
     * @param name the name of the secret
     * @param options sets the options
     * @return the secret
     */
    public Secret get(String name, Consumer<GetOptions> options) {
        return await(async.get(name, options));
    }

    /**
     * Returns several secrets as they were at one moment. A secret that cannot be returned has an error in its item; the call
     * itself fails only when it can return none of them.
     *
     * @param names up to 100 names
     * @return the items, in the order of the names
     */
    public List<BatchItem> batchGet(List<String> names) {
        return await(async.batchGet(names));
    }

    /**
     * Returns several secrets as they were at one moment. A secret that cannot be returned has an error in its item; the call
     * itself fails only when it can return none of them.
     *
     * @param names up to 100 names
     * @param options sets the options
     * @return the items, in the order of the names
     */
    public List<BatchItem> batchGet(List<String> names, Consumer<BatchGetOptions> options) {
        return await(async.batchGet(names, options));
    }

    /**
     * Changes the given fields of a secret and keeps all others.
     *
     * @param name the name of the secret
     * @return the secret, with its value redacted
     */
    public Secret update(String name) {
        return await(async.update(name));
    }

    /**
     * Changes the given fields of a secret and keeps all others.
     *
     * @param name the name of the secret
     * @param options sets the options
     * @return the secret, with its value redacted
     */
    public Secret update(String name, Consumer<UpdateOptions> options) {
        return await(async.update(name, options));
    }

    /**
     * Deletes a secret with all its versions. Its name is free at once. {@code undelete} brings it back until {@code purgeAt}.
     *
     * @param name the name of the secret
     * @return what the deletion leaves
     */
    public DeletedSecret delete(String name) {
        return await(async.delete(name));
    }

    /**
     * Deletes a secret with all its versions. Its name is free at once. {@code undelete} brings it back until {@code purgeAt}.
     *
     * @param name the name of the secret
     * @param options sets the options
     * @return what the deletion leaves
     */
    public DeletedSecret delete(String name, Consumer<DeleteOptions> options) {
        return await(async.delete(name, options));
    }

    /**
     * Brings a deleted secret back, under its former name or a new one.
     *
     * @param id the id of the secret, from the deletion
     * @return the secret, with its value redacted
     */
    public Secret undelete(String id) {
        return await(async.undelete(id));
    }

    /**
     * Brings a deleted secret back, under its former name or a new one.
     *
     * @param id the id of the secret, from the deletion
     * @param options sets the options
     * @return the secret, with its value redacted
     */
    public Secret undelete(String id, Consumer<UndeleteOptions> options) {
        return await(async.undelete(id, options));
    }

    /**
     * Gives a secret a new value in one step: readers get the old value or the new one. Former versions stay readable by their
     * number, unless a grace period ends that.
     *
     * @param name the name of the secret
     * @param from the value, or how the server generates it
     * @return the secret; its version is the new version
     */
    public Secret rotate(String name, Source from) {
        return await(async.rotate(name, from));
    }

    /**
     * Gives a secret a new value in one step: readers get the old value or the new one. Former versions stay readable by their
     * number, unless a grace period ends that.
     *
     * @param name the name of the secret
     * @param from the value, or how the server generates it
     * @param options sets the options
     * @return the secret; its version is the new version
     */
    public Secret rotate(String name, Source from, Consumer<RotateOptions> options) {
        return await(async.rotate(name, from, options));
    }

    /**
     * Makes a new version that stays pending: the current version stays as it is until {@code promote} makes the new one current.
     * {@code destroyVersion} abandons it.
     *
     * @param name the name of the secret
     * @param from the value, or how the server generates it
     * @return the number of the pending version
     */
    public StagedVersion stage(String name, Source from) {
        return await(async.stage(name, from));
    }

    /**
     * Makes a new version that stays pending: the current version stays as it is until {@code promote} makes the new one current.
     * {@code destroyVersion} abandons it.
     *
     * @param name the name of the secret
     * @param from the value, or how the server generates it
     * @param options sets the options
     * @return the number of the pending version
     */
    public StagedVersion stage(String name, Source from, Consumer<StageOptions> options) {
        return await(async.stage(name, from, options));
    }

    /**
     * Makes a version the current one.
     *
     * @param name the name of the secret
     * @param version the pending version, at the end of a staged rotation, or an older one, to go back
     * @return the secret, with its value redacted
     */
    public Secret promote(String name, int version) {
        return await(async.promote(name, version));
    }

    /**
     * Makes a version the current one.
     *
     * @param name the name of the secret
     * @param version the pending version, at the end of a staged rotation, or an older one, to go back
     * @param options sets the options
     * @return the secret, with its value redacted
     */
    public Secret promote(String name, int version, Consumer<PromoteOptions> options) {
        return await(async.promote(name, version, options));
    }

    /**
     * Returns the versions of a secret that the server keeps, without their values.
     *
     * @param name the name of the secret
     * @return the versions, newest first
     */
    public List<SecretVersion> versions(String name) {
        return await(async.versions(name));
    }

    /**
     * Returns the versions of a secret that the server keeps, without their values.
     *
     * @param name the name of the secret
     * @param options sets the options
     * @return the versions, newest first
     */
    public List<SecretVersion> versions(String name, Consumer<VersionsOptions> options) {
        return await(async.versions(name, options));
    }

    /**
     * Disables a version, so that its value cannot be read until {@code enableVersion}.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @return the version
     */
    public SecretVersion disableVersion(String name, int version) {
        return await(async.disableVersion(name, version));
    }

    /**
     * Disables a version, so that its value cannot be read until {@code enableVersion}.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @param options sets the options
     * @return the version
     */
    public SecretVersion disableVersion(String name, int version, Consumer<VersionOptions> options) {
        return await(async.disableVersion(name, version, options));
    }

    /**
     * Enables a disabled version.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @return the version
     */
    public SecretVersion enableVersion(String name, int version) {
        return await(async.enableVersion(name, version));
    }

    /**
     * Enables a disabled version.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @param options sets the options
     * @return the version
     */
    public SecretVersion enableVersion(String name, int version, Consumer<VersionOptions> options) {
        return await(async.enableVersion(name, version, options));
    }

    /**
     * Deletes the value of a version for good.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @return the version, and the signed receipt of the server
     */
    public DestroyedVersion destroyVersion(String name, int version) {
        return await(async.destroyVersion(name, version));
    }

    /**
     * Deletes the value of a version for good.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @param options sets the options
     * @return the version, and the signed receipt of the server
     */
    public DestroyedVersion destroyVersion(String name, int version, Consumer<VersionOptions> options) {
        return await(async.destroyVersion(name, version, options));
    }

    /**
     * Says that this consumer now uses a version.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @return the version
     */
    public SecretVersion acknowledge(String name, int version) {
        return await(async.acknowledge(name, version));
    }

    /**
     * Says that this consumer now uses a version.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @param options sets the options
     * @return the version
     */
    public SecretVersion acknowledge(String name, int version, Consumer<AcknowledgeOptions> options) {
        return await(async.acknowledge(name, version, options));
    }

    /**
     * Takes a rotation that is due, so that no other worker takes it at the same time. Then make a new value with {@code stage},
     * set and test it where it is used, and call {@code promote}, each with the claim id. When none is due, the error has the
     * reason {@link Reason#NO_ROTATION_DUE}. The call is made only once.
     *
     * @return the rotation
     */
    public ClaimedRotation claimRotation() {
        return await(async.claimRotation());
    }

    /**
     * Takes a rotation that is due, so that no other worker takes it at the same time. Then make a new value with {@code stage},
     * set and test it where it is used, and call {@code promote}, each with the claim id. When none is due, the error has the
     * reason {@link Reason#NO_ROTATION_DUE}. The call is made only once.
     *
     * @param options sets the options
     * @return the rotation
     */
    public ClaimedRotation claimRotation(Consumer<ClaimOptions> options) {
        return await(async.claimRotation(options));
    }

    /**
     * Gives a rotation back. With {@code failedBecause} it has failed, and is due again later; without, at once. The call is made
     * only once.
     *
     * @param claimId the id of the claim
     * @return the secret, with its value redacted
     */
    public Secret releaseRotation(String claimId) {
        return await(async.releaseRotation(claimId));
    }

    /**
     * Gives a rotation back. With {@code failedBecause} it has failed, and is due again later; without, at once. The call is made
     * only once.
     *
     * @param claimId the id of the claim
     * @param options sets the options
     * @return the secret, with its value redacted
     */
    public Secret releaseRotation(String claimId, Consumer<ReleaseOptions> options) {
        return await(async.releaseRotation(claimId, options));
    }

    /**
     * Returns a document with the value of each reference in its place. A text that begins with {@code "$ "} is an expression,
     * such as {@code "$ secrets.db_password"}. The call resolves all of it, or fails.
     *
     * @param document maps, lists, texts, numbers, booleans and null
     * @return the resolved document
     */
    public ResolvedDocument resolve(Map<String, ?> document) {
        return await(async.resolve(document));
    }

    /**
     * Returns a document with the value of each reference in its place. A text that begins with {@code "$ "} is an expression,
     * such as {@code "$ secrets.db_password"}. The call resolves all of it, or fails.
     *
     * @param document maps, lists, texts, numbers, booleans and null
     * @param options sets the options
     * @return the resolved document
     */
    public ResolvedDocument resolve(Map<String, ?> document, Consumer<ResolveOptions> options) {
        return await(async.resolve(document, options));
    }

    /**
     * Returns the identity and the rights of the caller. It needs no right.
     *
     * @return the identity
     */
    public Identity whoAmI() {
        return await(async.whoAmI());
    }

    /**
     * Returns the identity and the rights of the caller. It needs no right.
     *
     * @param options sets the options
     * @return the identity
     */
    public Identity whoAmI(Consumer<AccessOptions> options) {
        return await(async.whoAmI(options));
    }

    /**
     * Says whether a principal has a right, and why.
     *
     * @param question the right, and where
     * @return the decision
     */
    public Explanation explain(Question question) {
        return await(async.explain(question));
    }

    /**
     * Says whether a principal has a right, and why.
     *
     * @param question the right, and where
     * @param options sets the options
     * @return the decision
     */
    public Explanation explain(Question question, Consumer<AccessOptions> options) {
        return await(async.explain(question, options));
    }

    /**
     * Returns the secrets of the namespace, with redacted values, by name. Each loop over the list reads a page at a time, when
     * it comes to it.
     *
     * @return the list
     */
    public SecretList list() {
        return list(options -> {});
    }

    /**
     * Returns the secrets of the namespace, with redacted values. Each loop over the list reads a page at a time, when it comes
     * to it.
     *
     * @param options sets the options
     * @return the list
     */
    public SecretList list(Consumer<ListOptions> options) {
        return new SecretList(this, options);
    }

    /**
     * Returns the namespaces in which the caller may list secrets, ordered by the bytes of their names, whatever the namespace of
     * the client is. Each loop over the list reads a page at a time, when it comes to it.
     *
     * @return the list
     */
    public NamespaceList listNamespaces() {
        return listNamespaces(options -> {});
    }

    /**
     * Returns the namespaces in which the caller may list secrets, ordered by the bytes of their names, whatever the namespace of
     * the client is. Each loop over the list reads a page at a time, when it comes to it.
     *
     * @param options sets the options
     * @return the list
     */
    public NamespaceList listNamespaces(Consumer<NamespacesOptions> options) {
        return new NamespaceList(this, options);
    }

    /**
     * Watches the changes of the namespace's secrets from now on; see {@link Watch}.
     *
     * @return the watch; close it at the end
     */
    public Watch watch() {
        return watch(options -> {});
    }

    /**
     * Watches the changes of the namespace's secrets; see {@link Watch}.
     *
     * @param options sets the options
     * @return the watch; close it at the end
     */
    public Watch watch(Consumer<WatchOptions> options) {
        WatchOptions set = new WatchOptions();
        options.accept(set);
        return new Watch(link, set.request.setNamespace(async.namespace).build());
    }

    /**
     * Returns a cache of the secrets of the namespace, with the default settings; see {@link Cache}.
     *
     * @return the cache; close it at the end
     */
    public Cache cached() {
        return cached(Cache.DEFAULT_SERVE_STALE, Cache.DEFAULT_SIZE);
    }

    /**
     * Returns a cache of the secrets of the namespace; see {@link Cache}.
     *
     * @param serveStale for how long it serves the last known values after the connection is lost; 0: not at all
     * @param size how many secrets of one namespace it holds at most
     * @return the cache; close it at the end
     */
    public Cache cached(Duration serveStale, int size) {
        return new Cache(this, serveStale, size, Clock.systemUTC());
    }

    Link link() {
        return link;
    }

    /** Waits for a call. An interrupt of the thread cancels it. */
    static <T> T await(CompletableFuture<T> call) {
        try {
            return call.get();
        } catch (ExecutionException failure) {
            if (failure.getCause() instanceof StrongroomException known) {
                // The trace of the caller says more than that of a thread of gRPC.
                known.fillInStackTrace();
                throw known;
            }
            throw new IllegalStateException(failure.getCause());
        } catch (InterruptedException interrupt) {
            call.cancel(true);
            Thread.currentThread().interrupt();
            StrongroomException.Details details = new StrongroomException.Details();
            details.code = Status.Code.CANCELLED;
            details.message = "The thread was interrupted. If the call was a change, it may or may not have been made.";
            throw details.exception();
        }
    }
}
