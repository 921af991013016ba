package strongroom.client;

import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import strongroom.v1.AccessServiceGrpc;
import strongroom.v1.DestroyVersionRequest;
import strongroom.v1.DisableVersionRequest;
import strongroom.v1.EnableVersionRequest;
import strongroom.v1.ExplainAccessRequest;
import strongroom.v1.ReferenceServiceGrpc;
import strongroom.v1.RotateSecretRequest;
import strongroom.v1.SecretServiceGrpc;
import strongroom.v1.WhoAmIRequest;

/**
 * The calls of a {@link StrongroomClient} as futures. A future fails with a {@link StrongroomException}. Canceling it cancels
 * the call. What follows a future runs on a thread of gRPC unless you say otherwise, so it must not wait.
 */
public final class AsyncStrongroomClient {
    final Link link;
    final String namespace;

    AsyncStrongroomClient(Link link, String namespace) {
        this.link = link;
        this.namespace = namespace;
    }

    /**
     * Creates a secret with version 1.
     *
     * @param name 1 to 128 characters of {@code [A-Za-z_][A-Za-z0-9_]*}
     * @param from the value, or how the server generates it
     * @return the secret; its value is redacted, unless the server generated it and {@code returnValue} is set, later
     */
    public CompletableFuture<Secret> create(String name, Source from) {
        return create(name, from, options -> {});
    }

    /**
     * Creates a secret with version 1.
     *
     * @param name 1 to 128 characters of {@code [A-Za-z_][A-Za-z0-9_]*}
     * @param from the value, or how the server generates it
     * @param options sets the options
     * @return the secret; its value is redacted, unless the server generated it and {@code returnValue} is set, later
     */
    public CompletableFuture<Secret> create(String name, Source from, Consumer<CreateOptions> options) {
        CreateOptions set = new CreateOptions();
        options.accept(set);
        var request = set.request
                .setNamespace(namespace).setName(name)
                .setMinRevision(set.minRevision)
                .setRequestId(set.requestId);
        if (from instanceof SecretValue value) {
            request.setValue(value.proto());
        } else if (from instanceof Generator generator && generator != Generator.BY_POLICY) {
            request.setGenerate(generator.proto());
        }
        return link.send(
                SecretServiceGrpc.getCreateSecretMethod(), request.build(), set.timeout, set.requestId, false,
                reply -> Models.secretOf(reply.getSecret(), 1));
    }

    /**
     * Returns a secret with its plaintext value.
     *
     * @param name the name of the secret
     * @return the secret, later
     */
    public CompletableFuture<Secret> get(String name) {
        return get(name, options -> {});
    }

    /**
     * Returns a secret with its plaintext value.
     *
     * @param name the name of the secret
     * @param options sets the options
     * @return the secret, later
     */
    public CompletableFuture<Secret> get(String name, Consumer<GetOptions> options) {
        GetOptions set = new GetOptions();
        options.accept(set);
        var request = set.request
                .setNamespace(namespace).setName(name)
                .setMinRevision(set.minRevision)
                .setConsistency(set.consistency);
        return link.send(
                SecretServiceGrpc.getGetSecretMethod(), request.build(), set.timeout, "", false,
                reply -> Models.secretOf(reply.getSecret(), reply.getVersion()));
    }

    /**
     * Returns several secrets as they were at one moment. A secret that cannot be returned has an error in its item; the call
     * itself fails only when it can return none of them.
     *
     * @param names up to 100 names
     * @return the items, in the order of the names, later
     */
    public CompletableFuture<List<BatchItem>> batchGet(List<String> names) {
        return batchGet(names, options -> {});
    }

    /**
     * Returns several secrets as they were at one moment. A secret that cannot be returned has an error in its item; the call
     * itself fails only when it can return none of them.
     *
     * @param names up to 100 names
     * @param options sets the options
     * @return the items, in the order of the names, later
     */
    public CompletableFuture<List<BatchItem>> batchGet(List<String> names, Consumer<BatchGetOptions> options) {
        BatchGetOptions set = new BatchGetOptions();
        options.accept(set);
        var request = set.request
                .setNamespace(namespace).addAllNames(names)
                .setMinRevision(set.minRevision)
                .setConsistency(set.consistency);
        return link.send(
                SecretServiceGrpc.getBatchGetSecretsMethod(), request.build(), set.timeout, "", false,
                reply -> reply.getItemsList().stream().map(Models::itemOf).toList());
    }

    /**
     * Returns one page of the secrets of the namespace, with redacted values.
     *
     * @return the page, later
     */
    public CompletableFuture<SecretPage> listPage() {
        return listPage(options -> {});
    }

    /**
     * Returns one page of the secrets of the namespace, with redacted values.
     *
     * @param options sets the options
     * @return the page, later
     */
    public CompletableFuture<SecretPage> listPage(Consumer<ListOptions> options) {
        ListOptions set = new ListOptions();
        options.accept(set);
        var request = set.request
                .setNamespace(namespace)
                .setMinRevision(set.minRevision)
                .setConsistency(set.consistency);
        return link.send(
                SecretServiceGrpc.getListSecretsMethod(), request.build(), set.timeout, "", false,
                reply -> new SecretPage(
                        reply.getItemsList().stream().map(secret -> Models.secretOf(secret, 0)).toList(),
                        reply.getNextPageToken(),
                        reply.getRevision()));
    }

    /**
     * Returns one page of the namespaces in which the caller may list secrets, whatever the namespace of the client is.
     *
     * @return the page, later
     */
    public CompletableFuture<NamespacePage> listNamespacesPage() {
        return listNamespacesPage(options -> {});
    }

    /**
     * Returns one page of the namespaces in which the caller may list secrets, whatever the namespace of the client is.
     *
     * @param options sets the options
     * @return the page, later
     */
    public CompletableFuture<NamespacePage> listNamespacesPage(Consumer<NamespacesOptions> options) {
        NamespacesOptions set = new NamespacesOptions();
        options.accept(set);
        var request = set.request.setMinRevision(set.minRevision).setConsistency(set.consistency);
        return link.send(
                SecretServiceGrpc.getListNamespacesMethod(), request.build(), set.timeout, "", false,
                reply -> new NamespacePage(
                        reply.getItemsList().stream().map(Models::namespaceOf).toList(),
                        reply.getNextPageToken(),
                        reply.getRevision()));
    }

    /**
     * Changes the given fields of a secret and keeps all others.
     *
     * @param name the name of the secret
     * @return the secret, with its value redacted, later
     */
    public CompletableFuture<Secret> update(String name) {
        return update(name, options -> {});
    }

    /**
     * Changes the given fields of a secret and keeps all others.
     *
     * @param name the name of the secret
     * @param options sets the options
     * @return the secret, with its value redacted, later
     */
    public CompletableFuture<Secret> update(String name, Consumer<UpdateOptions> options) {
        UpdateOptions set = new UpdateOptions();
        options.accept(set);
        var request = set.request
                .setNamespace(namespace).setName(name)
                .setMinRevision(set.minRevision)
                .setRequestId(set.requestId);
        return link.send(
                SecretServiceGrpc.getUpdateSecretMethod(), request.build(), set.timeout, set.requestId, false,
                reply -> Models.secretOf(reply.getSecret(), 0));
    }

    /**
     * Deletes a secret with all its versions. Its name is free at once. {@code undelete} brings it back until {@code purgeAt}.
     *
     * @param name the name of the secret
     * @return what the deletion leaves, later
     */
    public CompletableFuture<DeletedSecret> delete(String name) {
        return delete(name, options -> {});
    }

    /**
     * Deletes a secret with all its versions. Its name is free at once. {@code undelete} brings it back until {@code purgeAt}.
     *
     * @param name the name of the secret
     * @param options sets the options
     * @return what the deletion leaves, later
     */
    public CompletableFuture<DeletedSecret> delete(String name, Consumer<DeleteOptions> options) {
        DeleteOptions set = new DeleteOptions();
        options.accept(set);
        var request = set.request
                .setNamespace(namespace).setName(name)
                .setMinRevision(set.minRevision)
                .setRequestId(set.requestId);
        return link.send(
                SecretServiceGrpc.getDeleteSecretMethod(), request.build(), set.timeout, set.requestId, false,
                reply -> new DeletedSecret(
                        reply.getId(), Models.timeOf(reply.getDeletedAt()), Models.timeOf(reply.getPurgeAt())));
    }

    /**
     * Brings a deleted secret back, under its former name or a new one.
     *
     * @param id the id of the secret, from the deletion
     * @return the secret, with its value redacted, later
     */
    public CompletableFuture<Secret> undelete(String id) {
        return undelete(id, options -> {});
    }

    /**
     * Brings a deleted secret back, under its former name or a new one.
     *
     * @param id the id of the secret, from the deletion
     * @param options sets the options
     * @return the secret, with its value redacted, later
     */
    public CompletableFuture<Secret> undelete(String id, Consumer<UndeleteOptions> options) {
        UndeleteOptions set = new UndeleteOptions();
        options.accept(set);
        var request = set.request
                .setNamespace(namespace).setId(id)
                .setMinRevision(set.minRevision)
                .setRequestId(set.requestId);
        return link.send(
                SecretServiceGrpc.getUndeleteSecretMethod(), request.build(), set.timeout, set.requestId, false,
                reply -> Models.secretOf(reply.getSecret(), 0));
    }

    /**
     * Gives a secret a new value in one step: readers get the old value or the new one. Former versions stay readable by their
     * number, unless a grace period ends that.
     *
     * @param name the name of the secret
     * @param from the value, or how the server generates it
     * @return the secret; its version is the new version, later
     */
    public CompletableFuture<Secret> rotate(String name, Source from) {
        return rotate(name, from, options -> {});
    }

    /**
     * Gives a secret a new value in one step: readers get the old value or the new one. Former versions stay readable by their
     * number, unless a grace period ends that.
     *
     * @param name the name of the secret
     * @param from the value, or how the server generates it
     * @param options sets the options
     * @return the secret; its version is the new version, later
     */
    public CompletableFuture<Secret> rotate(String name, Source from, Consumer<RotateOptions> options) {
        RotateOptions set = new RotateOptions();
        options.accept(set);
        var request = rotation(set.request, name, from)
                .setMinRevision(set.minRevision)
                .setRequestId(set.requestId);
        return link.send(
                SecretServiceGrpc.getRotateSecretMethod(), request.build(), set.timeout, set.requestId, false,
                reply -> Models.secretOf(reply.getSecret(), reply.getVersion()));
    }

    /**
     * Makes a new version that stays pending: the current version stays as it is until {@code promote} makes the new one current.
     * {@code destroyVersion} abandons it.
     *
     * @param name the name of the secret
     * @param from the value, or how the server generates it
     * @return the number of the pending version, later
     */
    public CompletableFuture<StagedVersion> stage(String name, Source from) {
        return stage(name, from, options -> {});
    }

    /**
     * Makes a new version that stays pending: the current version stays as it is until {@code promote} makes the new one current.
     * {@code destroyVersion} abandons it.
     *
     * @param name the name of the secret
     * @param from the value, or how the server generates it
     * @param options sets the options
     * @return the number of the pending version, later
     */
    public CompletableFuture<StagedVersion> stage(String name, Source from, Consumer<StageOptions> options) {
        StageOptions set = new StageOptions();
        options.accept(set);
        var request = rotation(set.request, name, from).setStage(true)
                .setMinRevision(set.minRevision)
                .setRequestId(set.requestId);
        return link.send(
                SecretServiceGrpc.getRotateSecretMethod(), request.build(), set.timeout, set.requestId, false,
                reply -> new StagedVersion(reply.getVersion(), Models.secretOf(reply.getSecret(), reply.getVersion())));
    }

    /**
     * Makes a version the current one.
     *
     * @param name the name of the secret
     * @param version the pending version, at the end of a staged rotation, or an older one, to go back
     * @return the secret, with its value redacted, later
     */
    public CompletableFuture<Secret> promote(String name, int version) {
        return promote(name, version, options -> {});
    }

    /**
     * Makes a version the current one.
     *
     * @param name the name of the secret
     * @param version the pending version, at the end of a staged rotation, or an older one, to go back
     * @param options sets the options
     * @return the secret, with its value redacted, later
     */
    public CompletableFuture<Secret> promote(String name, int version, Consumer<PromoteOptions> options) {
        PromoteOptions set = new PromoteOptions();
        options.accept(set);
        var request = set.request
                .setNamespace(namespace).setName(name).setVersion(version)
                .setMinRevision(set.minRevision)
                .setRequestId(set.requestId);
        return link.send(
                SecretServiceGrpc.getPromoteVersionMethod(), request.build(), set.timeout, set.requestId, false,
                reply -> Models.secretOf(reply.getSecret(), 0));
    }

    /**
     * Returns the versions of a secret that the server keeps, without their values.
     *
     * @param name the name of the secret
     * @return the versions, newest first, later
     */
    public CompletableFuture<List<SecretVersion>> versions(String name) {
        return versions(name, options -> {});
    }

    /**
     * Returns the versions of a secret that the server keeps, without their values.
     *
     * @param name the name of the secret
     * @param options sets the options
     * @return the versions, newest first, later
     */
    public CompletableFuture<List<SecretVersion>> versions(String name, Consumer<VersionsOptions> options) {
        VersionsOptions set = new VersionsOptions();
        options.accept(set);
        var request = set.request
                .setNamespace(namespace).setName(name)
                .setMinRevision(set.minRevision)
                .setConsistency(set.consistency);
        return link.send(
                SecretServiceGrpc.getListSecretVersionsMethod(), request.build(), set.timeout, "", false,
                reply -> reply.getVersionsList().stream().map(Models::versionOf).toList());
    }

    /**
     * Disables a version, so that its value cannot be read until {@code enableVersion}.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @return the version, later
     */
    public CompletableFuture<SecretVersion> disableVersion(String name, int version) {
        return disableVersion(name, version, options -> {});
    }

    /**
     * Disables a version, so that its value cannot be read until {@code enableVersion}.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @param options sets the options
     * @return the version, later
     */
    public CompletableFuture<SecretVersion> disableVersion(String name, int version, Consumer<VersionOptions> options) {
        VersionOptions set = new VersionOptions();
        options.accept(set);
        var request = DisableVersionRequest.newBuilder()
                .setNamespace(namespace)
                .setName(name)
                .setVersion(version)
                .setEtag(set.etag)
                .setMinRevision(set.minRevision)
                .setRequestId(set.requestId);
        return link.send(
                SecretServiceGrpc.getDisableVersionMethod(), request.build(), set.timeout, set.requestId, false,
                reply -> Models.versionOf(reply.getVersion()));
    }

    /**
     * Enables a disabled version.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @return the version, later
     */
    public CompletableFuture<SecretVersion> enableVersion(String name, int version) {
        return enableVersion(name, version, options -> {});
    }

    /**
     * Enables a disabled version.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @param options sets the options
     * @return the version, later
     */
    public CompletableFuture<SecretVersion> enableVersion(String name, int version, Consumer<VersionOptions> options) {
        VersionOptions set = new VersionOptions();
        options.accept(set);
        var request = EnableVersionRequest.newBuilder()
                .setNamespace(namespace)
                .setName(name)
                .setVersion(version)
                .setEtag(set.etag)
                .setMinRevision(set.minRevision)
                .setRequestId(set.requestId);
        return link.send(
                SecretServiceGrpc.getEnableVersionMethod(), request.build(), set.timeout, set.requestId, false,
                reply -> Models.versionOf(reply.getVersion()));
    }

    /**
     * Deletes the value of a version for good.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @return the version, and the signed receipt of the server, later
     */
    public CompletableFuture<DestroyedVersion> destroyVersion(String name, int version) {
        return destroyVersion(name, version, options -> {});
    }

    /**
     * Deletes the value of a version for good.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @param options sets the options
     * @return the version, and the signed receipt of the server, later
     */
    public CompletableFuture<DestroyedVersion> destroyVersion(String name, int version, Consumer<VersionOptions> options) {
        VersionOptions set = new VersionOptions();
        options.accept(set);
        var request = DestroyVersionRequest.newBuilder()
                .setNamespace(namespace)
                .setName(name)
                .setVersion(version)
                .setEtag(set.etag)
                .setMinRevision(set.minRevision)
                .setRequestId(set.requestId);
        return link.send(
                SecretServiceGrpc.getDestroyVersionMethod(), request.build(), set.timeout, set.requestId, false,
                Models::destroyedOf);
    }

    /**
     * Says that this consumer now uses a version.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @return the version, later
     */
    public CompletableFuture<SecretVersion> acknowledge(String name, int version) {
        return acknowledge(name, version, options -> {});
    }

    /**
     * Says that this consumer now uses a version.
     *
     * @param name the name of the secret
     * @param version the number of the version
     * @param options sets the options
     * @return the version, later
     */
    public CompletableFuture<SecretVersion> acknowledge(String name, int version, Consumer<AcknowledgeOptions> options) {
        AcknowledgeOptions set = new AcknowledgeOptions();
        options.accept(set);
        var request = set.request.setNamespace(namespace).setName(name).setVersion(version);
        return link.send(
                SecretServiceGrpc.getAcknowledgeVersionMethod(), request.build(), set.timeout, "", false,
                reply -> Models.versionOf(reply.getVersion()));
    }

    /**
     * Takes a rotation that is due, so that no other worker takes it at the same time. Then make a new value with {@code stage},
     * set and test it where it is used, and call {@code promote}, each with the claim id. When none is due, the error has the
     * reason {@link Reason#NO_ROTATION_DUE}. The call is made only once.
     *
     * @return the rotation, later
     */
    public CompletableFuture<ClaimedRotation> claimRotation() {
        return claimRotation(options -> {});
    }

    /**
     * Takes a rotation that is due, so that no other worker takes it at the same time. Then make a new value with {@code stage},
     * set and test it where it is used, and call {@code promote}, each with the claim id. When none is due, the error has the
     * reason {@link Reason#NO_ROTATION_DUE}. The call is made only once.
     *
     * @param options sets the options
     * @return the rotation, later
     */
    public CompletableFuture<ClaimedRotation> claimRotation(Consumer<ClaimOptions> options) {
        ClaimOptions set = new ClaimOptions();
        options.accept(set);
        var request = set.request.setNamespace(namespace);
        return link.send(
                SecretServiceGrpc.getClaimRotationMethod(), request.build(), set.timeout, "", true,
                reply -> new ClaimedRotation(
                        reply.getClaimId(),
                        Models.secretOf(reply.getSecret(), 0),
                        Models.timeOf(reply.getLeaseExpiresAt()),
                        reply.getPendingVersion()));
    }

    /**
     * Gives a rotation back. With {@code failedBecause} it has failed, and is due again later; without, at once. The call is made
     * only once.
     *
     * @param claimId the id of the claim
     * @return the secret, with its value redacted, later
     */
    public CompletableFuture<Secret> releaseRotation(String claimId) {
        return releaseRotation(claimId, options -> {});
    }

    /**
     * Gives a rotation back. With {@code failedBecause} it has failed, and is due again later; without, at once. The call is made
     * only once.
     *
     * @param claimId the id of the claim
     * @param options sets the options
     * @return the secret, with its value redacted, later
     */
    public CompletableFuture<Secret> releaseRotation(String claimId, Consumer<ReleaseOptions> options) {
        ReleaseOptions set = new ReleaseOptions();
        options.accept(set);
        var request = set.request.setClaimId(claimId);
        return link.send(
                SecretServiceGrpc.getReleaseRotationMethod(), request.build(), set.timeout, "", true,
                reply -> Models.secretOf(reply.getSecret(), 0));
    }

    /**
     * Returns a document with the value of each reference in its place. A text that begins with {@code "$ "} is an expression,
     * such as {@code "$ secrets.db_password"}. The call resolves all of it, or fails.
     *
     * @param document maps, lists, texts, numbers, booleans and null
     * @return the resolved document, later
     */
    public CompletableFuture<ResolvedDocument> resolve(Map<String, ?> document) {
        return resolve(document, options -> {});
    }

    /**
     * Returns a document with the value of each reference in its place. A text that begins with {@code "$ "} is an expression,
     * such as {@code "$ secrets.db_password"}. The call resolves all of it, or fails.
     *
     * @param document maps, lists, texts, numbers, booleans and null
     * @param options sets the options
     * @return the resolved document, later
     */
    public CompletableFuture<ResolvedDocument> resolve(Map<String, ?> document, Consumer<ResolveOptions> options) {
        ResolveOptions set = new ResolveOptions();
        options.accept(set);
        var request = set.request.setNamespace(namespace).setDocument(Models.structOf("document", document));
        return link.send(
                ReferenceServiceGrpc.getResolveReferencesMethod(), request.build(), set.timeout, "", false,
                Models::resolvedOf);
    }

    /**
     * Returns the identity and the rights of the caller. It needs no right.
     *
     * @return the identity, later
     */
    public CompletableFuture<Identity> whoAmI() {
        return whoAmI(options -> {});
    }

    /**
     * Returns the identity and the rights of the caller. It needs no right.
     *
     * @param options sets the options
     * @return the identity, later
     */
    public CompletableFuture<Identity> whoAmI(Consumer<AccessOptions> options) {
        AccessOptions set = new AccessOptions();
        options.accept(set);
        var request = WhoAmIRequest.newBuilder();
        return link.send(
                AccessServiceGrpc.getWhoAmIMethod(), request.build(), set.timeout, "", false,
                Models::identityOf);
    }

    /**
     * Says whether a principal has a right, and why.
     *
     * @param question the right, and where
     * @return the decision, later
     */
    public CompletableFuture<Explanation> explain(Question question) {
        return explain(question, options -> {});
    }

    /**
     * Says whether a principal has a right, and why.
     *
     * @param question the right, and where
     * @param options sets the options
     * @return the decision, later
     */
    public CompletableFuture<Explanation> explain(Question question, Consumer<AccessOptions> options) {
        AccessOptions set = new AccessOptions();
        options.accept(set);
        var request = ExplainAccessRequest.newBuilder()
                .setRight(strongroom.v1.Right.valueOf("RIGHT_" + known(question.right()).name()))
                .setNamespace(question.namespace())
                .setName(question.name())
                .setPrincipal(question.principal());
        return link.send(
                AccessServiceGrpc.getExplainAccessMethod(), request.build(), set.timeout, "", false,
                reply -> new Explanation(
                        reply.getAllowed(), reply.getBinding().getId(), reply.getExplanation(), reply.getRemedy()));
    }

    /** Names the client without its credential. */
    @Override
    public String toString() {
        return "AsyncStrongroomClient(" + link.problems + ", namespace \"" + namespace + "\")";
    }

    /** A secret, and the revision that it was read at. */
    record Read(Secret secret, long revision) {}

    CompletableFuture<Read> read(String name, long minRevision) {
        var request = strongroom.v1.GetSecretRequest.newBuilder()
                .setNamespace(namespace)
                .setName(name)
                .setMinRevision(minRevision);
        return link.send(
                SecretServiceGrpc.getGetSecretMethod(), request.build(), null, "", false,
                reply -> new Read(Models.secretOf(reply.getSecret(), reply.getVersion()), reply.getRevision()));
    }

    private RotateSecretRequest.Builder rotation(RotateSecretRequest.Builder request, String name, Source from) {
        request.setNamespace(namespace).setName(name);
        if (from instanceof SecretValue value) {
            request.setValue(value.proto());
        } else if (from instanceof Generator generator && generator != Generator.BY_POLICY) {
            request.setGenerate(generator.proto());
        }
        return request;
    }

    private static Right known(Right right) {
        if (right == null || right == Right.UNKNOWN) {
            throw new ConfigurationException("The question needs a right, such as Right.READ.");
        }
        return right;
    }
}
