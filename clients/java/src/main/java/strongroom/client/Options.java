package strongroom.client;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.UUID;
import strongroom.v1.AcknowledgeVersionRequest;
import strongroom.v1.BatchGetSecretsRequest;
import strongroom.v1.ClaimRotationRequest;
import strongroom.v1.CreateSecretRequest;
import strongroom.v1.DeleteSecretRequest;
import strongroom.v1.GetSecretRequest;
import strongroom.v1.ListSecretVersionsRequest;
import strongroom.v1.ListSecretsRequest;
import strongroom.v1.PromoteVersionRequest;
import strongroom.v1.ReleaseRotationRequest;
import strongroom.v1.ResolveReferencesRequest;
import strongroom.v1.RotateSecretRequest;
import strongroom.v1.UndeleteSecretRequest;
import strongroom.v1.UpdateSecretRequest;
import strongroom.v1.View;
import strongroom.v1.WatchSecretsRequest;

/**
 * The options of each call. A call takes a function that sets them:
 *
 * <pre>{@code client.get("db_password", options -> options.version(3).timeout(Duration.ofSeconds(2)))}</pre>
 */
public final class Options {
    private Options() {}

    /**
     * The options of every call that is answered once.
     *
     * @param <T> the options of the call
     */
    public abstract static sealed class Call<T extends Call<T>>
            permits Change, Get, BatchGet, List, Versions, Acknowledge, Claim, Release, Resolve, Other {
        Duration timeout;

        Call() {}

        /**
         * Sets how long the call takes at most, with all its attempts. Default: the timeout of the client.
         *
         * @param timeout the time, more than 0
         * @return this
         */
        public T timeout(Duration timeout) {
            this.timeout = Settings.positive(timeout);
            return self();
        }

        abstract T self();
    }

    /**
     * The options of every change that the server makes once for each request id.
     *
     * @param <T> the options of the call
     */
    public abstract static sealed class Change<T extends Change<T>> extends Call<T>
            permits Create, Update, Delete, Undelete, Rotate, Stage, Promote, Version {
        String requestId = UUID.randomUUID().toString();

        Change() {}

        /**
         * Sets a UUID that you choose for the change: the server makes a change with the same id only once in 24 hours. Without
         * it, the client chooses one for each call. Choose one yourself to make a change again after a crash.
         *
         * @param requestId the UUID
         * @return this
         */
        public T requestId(String requestId) {
            this.requestId = requestId;
            return self();
        }
    }

    /** The options of {@link StrongroomClient#whoAmI} and {@link StrongroomClient#explain}. */
    public static final class Other extends Call<Other> {
        Other() {}

        @Override
        Other self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#create}. */
    public static final class Create extends Change<Create> {
        final CreateSecretRequest.Builder request = CreateSecretRequest.newBuilder();

        Create() {}

        /**
         * Sets the description, at most 1,024 bytes. In an update, an empty one clears it.
         *
         * @param description the description
         * @return this
         */
        public Create description(String description) {
            request.setDescription(description);
            return this;
        }

        /**
         * Sets the pairs of the secret, at most 64.
         *
         * @param metadata the pairs
         * @return this
         */
        public Create metadata(Map<String, String> metadata) {
            request.clearMetadata().putAllMetadata(metadata);
            return this;
        }

        /**
         * Sets when the secret expires. In an update, null lets it live for ever.
         *
         * @param expiresAt the time
         * @return this
         */
        public Create expiresAt(Instant expiresAt) {
            request.setExpiresAt(Models.timestampOf(expiresAt));
            return this;
        }

        /**
         * Sets how long the new secret lives.
         *
         * @param ttl the time
         * @return this
         */
        public Create ttl(Duration ttl) {
            request.setTtl(Models.protoOf(ttl));
            return this;
        }

        /**
         * Sets when and how the secret is rotated. In an update, null removes the policy.
         *
         * @param rotationPolicy the policy
         * @return this
         */
        public Create rotationPolicy(RotationPolicy rotationPolicy) {
            request.setRotationPolicy(Models.protoOf(rotationPolicy));
            return this;
        }

        /**
         * Returns the value that the server generated, once: a repeat of the call gets it redacted.
         *
         * @return this
         */
        public Create returnValue() {
            request.setReturnValue(true);
            return this;
        }

        @Override
        Create self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#get}. */
    public static final class Get extends Call<Get> {
        final GetSecretRequest.Builder request = GetSecretRequest.newBuilder();

        Get() {}

        /**
         * Reads this version, and not the current one.
         *
         * @param version the number of the version
         * @return this
         */
        public Get version(int version) {
            request.setVersion(version);
            return this;
        }

        /**
         * Leaves the value out. The right to list is then enough.
         *
         * @return this
         */
        public Get metadataOnly() {
            request.setView(View.VIEW_METADATA);
            return this;
        }

        /**
         * Sets the oldest revision to answer from: the revision of an earlier reply.
         *
         * @param minRevision the revision
         * @return this
         */
        public Get minRevision(long minRevision) {
            request.setMinRevision(minRevision);
            return this;
        }

        @Override
        Get self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#batchGet}. */
    public static final class BatchGet extends Call<BatchGet> {
        final BatchGetSecretsRequest.Builder request = BatchGetSecretsRequest.newBuilder();

        BatchGet() {}

        /**
         * Leaves the value out. The right to list is then enough.
         *
         * @return this
         */
        public BatchGet metadataOnly() {
            request.setView(View.VIEW_METADATA);
            return this;
        }

        /**
         * Sets the oldest revision to answer from: the revision of an earlier reply.
         *
         * @param minRevision the revision
         * @return this
         */
        public BatchGet minRevision(long minRevision) {
            request.setMinRevision(minRevision);
            return this;
        }

        @Override
        BatchGet self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#list}. */
    public static final class List extends Call<List> {
        final ListSecretsRequest.Builder request = ListSecretsRequest.newBuilder();

        List() {}

        /**
         * Takes only names that begin with this text, case-sensitive.
         *
         * @param namePrefix the beginning of the names
         * @return this
         */
        public List namePrefix(String namePrefix) {
            request.setNamePrefix(namePrefix);
            return this;
        }

        /**
         * Takes only secrets whose metadata has all these pairs exactly.
         *
         * @param metadata the pairs
         * @return this
         */
        public List metadata(Map<String, String> metadata) {
            request.clearMetadata().putAllMetadata(metadata);
            return this;
        }

        /**
         * Sets how many secrets the client asks for at a time, 1 to 1,000; 100 by default.
         *
         * @param pageSize the number of secrets
         * @return this
         */
        public List pageSize(int pageSize) {
            request.setLimit(pageSize);
            return this;
        }

        /**
         * Continues after another page, for {@link AsyncStrongroomClient#listPage}.
         *
         * @param pageToken the {@link SecretPage#nextPageToken()} of that page
         * @return this
         */
        public List pageToken(String pageToken) {
            request.setPageToken(pageToken);
            return this;
        }

        /**
         * Sets the order: name, created_at or updated_at; add " desc" for the reverse order. Default: name.
         *
         * @param orderBy the order
         * @return this
         */
        public List orderBy(String orderBy) {
            request.setOrderBy(orderBy);
            return this;
        }

        /**
         * Also lists deleted secrets that can still be brought back.
         *
         * @return this
         */
        public List includeDeleted() {
            request.setIncludeDeleted(true);
            return this;
        }

        /**
         * Lists only secrets that are older than this time, and of which no value was read since.
         *
         * @param unusedSince the time
         * @return this
         */
        public List unusedSince(Instant unusedSince) {
            request.setUnusedSince(Models.timestampOf(unusedSince));
            return this;
        }

        /**
         * Sets the oldest revision to answer from: the revision of an earlier reply.
         *
         * @param minRevision the revision
         * @return this
         */
        public List minRevision(long minRevision) {
            request.setMinRevision(minRevision);
            return this;
        }

        @Override
        List self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#update}. */
    public static final class Update extends Change<Update> {
        final UpdateSecretRequest.Builder request = UpdateSecretRequest.newBuilder();

        Update() {}

        /**
         * Renames the secret.
         *
         * @param newName the new name
         * @return this
         */
        public Update newName(String newName) {
            request.setNewName(newName);
            return this;
        }

        /**
         * Sets a new value, which becomes a new version.
         *
         * @param value the value
         * @return this
         */
        public Update value(SecretValue value) {
            request.setValue(value.proto());
            return this;
        }

        /**
         * Sets the description, at most 1,024 bytes. In an update, an empty one clears it.
         *
         * @param description the description
         * @return this
         */
        public Update description(String description) {
            request.setDescription(description);
            return this;
        }

        /**
         * Replaces all pairs of the secret, at most 64. An empty map clears them.
         *
         * @param metadata the pairs
         * @return this
         */
        public Update metadata(Map<String, String> metadata) {
            request.clearMetadata().putAllMetadata(metadata);
            if (metadata.isEmpty()) {
                clear("metadata");
            }
            return this;
        }

        /**
         * Sets when the secret expires. In an update, null lets it live for ever.
         *
         * @param expiresAt the time
         * @return this
         */
        public Update expiresAt(Instant expiresAt) {
            if (expiresAt == null) {
                clear("expires_at");
            } else {
                request.setExpiresAt(Models.timestampOf(expiresAt));
            }
            return this;
        }

        /**
         * Sets when and how the secret is rotated. In an update, null removes the policy.
         *
         * @param rotationPolicy the policy
         * @return this
         */
        public Update rotationPolicy(RotationPolicy rotationPolicy) {
            if (rotationPolicy == null) {
                clear("rotation_policy");
            } else {
                request.setRotationPolicy(Models.protoOf(rotationPolicy));
            }
            return this;
        }

        /**
         * Makes the change only if the secret still has this {@link Secret#etag()}.
         *
         * @param etag the etag
         * @return this
         */
        public Update etag(String etag) {
            request.setEtag(etag);
            return this;
        }

        private void clear(String field) {
            if (!request.getUpdateMask().getPathsList().contains(field)) {
                request.getUpdateMaskBuilder().addPaths(field);
            }
        }

        @Override
        Update self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#delete}. */
    public static final class Delete extends Change<Delete> {
        final DeleteSecretRequest.Builder request = DeleteSecretRequest.newBuilder();

        Delete() {}

        /**
         * Makes the change only if the secret still has this {@link Secret#etag()}.
         *
         * @param etag the etag
         * @return this
         */
        public Delete etag(String etag) {
            request.setEtag(etag);
            return this;
        }

        @Override
        Delete self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#undelete}. */
    public static final class Undelete extends Change<Undelete> {
        final UndeleteSecretRequest.Builder request = UndeleteSecretRequest.newBuilder();

        Undelete() {}

        /**
         * Renames the secret.
         *
         * @param newName the new name
         * @return this
         */
        public Undelete newName(String newName) {
            request.setNewName(newName);
            return this;
        }

        @Override
        Undelete self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#rotate}. */
    public static final class Rotate extends Change<Rotate> {
        final RotateSecretRequest.Builder request = RotateSecretRequest.newBuilder();

        Rotate() {}

        /**
         * Sets how long the former version stays readable by its number, 0 to 10 years; then it is disabled.
         *
         * @param gracePeriod the time
         * @return this
         */
        public Rotate gracePeriod(Duration gracePeriod) {
            request.setGracePeriod(Models.protoOf(gracePeriod));
            return this;
        }

        /**
         * Returns the value that the server generated, once: a repeat of the call gets it redacted.
         *
         * @return this
         */
        public Rotate returnValue() {
            request.setReturnValue(true);
            return this;
        }

        /**
         * Makes the change only if the secret still has this {@link Secret#etag()}.
         *
         * @param etag the etag
         * @return this
         */
        public Rotate etag(String etag) {
            request.setEtag(etag);
            return this;
        }

        /**
         * Names the claim that must still hold; see {@link StrongroomClient#claimRotation}.
         *
         * @param claimId the id of the claim
         * @return this
         */
        public Rotate claimId(String claimId) {
            request.setClaimId(claimId);
            return this;
        }

        @Override
        Rotate self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#stage}. */
    public static final class Stage extends Change<Stage> {
        final RotateSecretRequest.Builder request = RotateSecretRequest.newBuilder();

        Stage() {}

        /**
         * Returns the value that the server generated, once: a repeat of the call gets it redacted.
         *
         * @return this
         */
        public Stage returnValue() {
            request.setReturnValue(true);
            return this;
        }

        /**
         * Makes the change only if the secret still has this {@link Secret#etag()}.
         *
         * @param etag the etag
         * @return this
         */
        public Stage etag(String etag) {
            request.setEtag(etag);
            return this;
        }

        /**
         * Names the claim that must still hold; see {@link StrongroomClient#claimRotation}.
         *
         * @param claimId the id of the claim
         * @return this
         */
        public Stage claimId(String claimId) {
            request.setClaimId(claimId);
            return this;
        }

        @Override
        Stage self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#promote}. */
    public static final class Promote extends Change<Promote> {
        final PromoteVersionRequest.Builder request = PromoteVersionRequest.newBuilder();

        Promote() {}

        /**
         * Sets how long the former version stays readable by its number, 0 to 10 years; then it is disabled.
         *
         * @param gracePeriod the time
         * @return this
         */
        public Promote gracePeriod(Duration gracePeriod) {
            request.setGracePeriod(Models.protoOf(gracePeriod));
            return this;
        }

        /**
         * Makes the change only if the secret still has this {@link Secret#etag()}.
         *
         * @param etag the etag
         * @return this
         */
        public Promote etag(String etag) {
            request.setEtag(etag);
            return this;
        }

        /**
         * Names the claim that must still hold; see {@link StrongroomClient#claimRotation}.
         *
         * @param claimId the id of the claim
         * @return this
         */
        public Promote claimId(String claimId) {
            request.setClaimId(claimId);
            return this;
        }

        @Override
        Promote self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#versions}. */
    public static final class Versions extends Call<Versions> {
        final ListSecretVersionsRequest.Builder request = ListSecretVersionsRequest.newBuilder();

        Versions() {}

        /**
         * Sets the oldest revision to answer from: the revision of an earlier reply.
         *
         * @param minRevision the revision
         * @return this
         */
        public Versions minRevision(long minRevision) {
            request.setMinRevision(minRevision);
            return this;
        }

        @Override
        Versions self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#disableVersion}, {@code enableVersion} and {@code destroyVersion}. */
    public static final class Version extends Change<Version> {
        String etag = "";

        Version() {}

        /**
         * Makes the change only if the secret still has this {@link Secret#etag()}.
         *
         * @param etag the etag
         * @return this
         */
        public Version etag(String etag) {
            this.etag = etag;
            return this;
        }

        @Override
        Version self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#acknowledge}. */
    public static final class Acknowledge extends Call<Acknowledge> {
        final AcknowledgeVersionRequest.Builder request = AcknowledgeVersionRequest.newBuilder();

        Acknowledge() {}

        /**
         * Sets what the consumer calls itself, for consumers that share a credential.
         *
         * @param consumer the name
         * @return this
         */
        public Acknowledge consumer(String consumer) {
            request.setConsumer(consumer);
            return this;
        }

        @Override
        Acknowledge self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#claimRotation}. */
    public static final class Claim extends Call<Claim> {
        final ClaimRotationRequest.Builder request = ClaimRotationRequest.newBuilder();

        Claim() {}

        /**
         * Takes only names that begin with this text, case-sensitive.
         *
         * @param namePrefix the beginning of the names
         * @return this
         */
        public Claim namePrefix(String namePrefix) {
            request.setNamePrefix(namePrefix);
            return this;
        }

        /**
         * Takes only secrets whose metadata has all these pairs exactly.
         *
         * @param metadata the pairs
         * @return this
         */
        public Claim metadata(Map<String, String> metadata) {
            request.clearMetadata().putAllMetadata(metadata);
            return this;
        }

        /**
         * Sets how long the caller holds the rotation, 1 second to 24 hours; 5 minutes by default.
         *
         * @param lease the time
         * @return this
         */
        public Claim lease(Duration lease) {
            request.setLease(Models.protoOf(lease));
            return this;
        }

        @Override
        Claim self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#releaseRotation}. */
    public static final class Release extends Call<Release> {
        final ReleaseRotationRequest.Builder request = ReleaseRotationRequest.newBuilder();

        Release() {}

        /**
         * Says why the rotation failed, without any value, at most 1,024 bytes.
         *
         * @param failedBecause the reason
         * @return this
         */
        public Release failedBecause(String failedBecause) {
            request.setError(failedBecause);
            return this;
        }

        /**
         * Sets after how long the failed rotation is due again. It needs {@link #failedBecause}.
         *
         * @param retryAfter the time
         * @return this
         */
        public Release retryAfter(Duration retryAfter) {
            request.setRetryAfter(Models.protoOf(retryAfter));
            return this;
        }

        @Override
        Release self() {
            return this;
        }
    }

    /** The options of {@link StrongroomClient#watch}. */
    public static final class Watch {
        final WatchSecretsRequest.Builder request = WatchSecretsRequest.newBuilder();

        Watch() {}

        /**
         * Takes only names that begin with this text, case-sensitive.
         *
         * @param namePrefix the beginning of the names
         * @return this
         */
        public Watch namePrefix(String namePrefix) {
            request.setNamePrefix(namePrefix);
            return this;
        }

        /**
         * Takes only secrets whose metadata has all these pairs exactly.
         *
         * @param metadata the pairs
         * @return this
         */
        public Watch metadata(Map<String, String> metadata) {
            request.clearMetadata().putAllMetadata(metadata);
            return this;
        }

        /**
         * Begins with the secrets that match now.
         *
         * @return this
         */
        public Watch snapshot() {
            request.setSnapshot(true);
            return this;
        }

        /**
         * Also watches the namespaces below.
         *
         * @return this
         */
        public Watch includeChildren() {
            request.setIncludeChildren(true);
            return this;
        }

        /**
         * Continues another watch.
         *
         * @param afterRevision the {@link Event#resumeRevision()} of its last event
         * @return this
         */
        public Watch afterRevision(long afterRevision) {
            request.setAfterRevision(afterRevision);
            return this;
        }
    }

    /** The options of {@link StrongroomClient#resolve}. */
    public static final class Resolve extends Call<Resolve> {
        final ResolveReferencesRequest.Builder request = ResolveReferencesRequest.newBuilder();

        Resolve() {}

        /**
         * Sets what the expressions of the document see: the key {@code input} as {@code input} and {@code _}, every other key
         * below {@code inputs}.
         *
         * @param inputs the inputs, of the types that a document can hold
         * @return this
         */
        public Resolve inputs(Map<String, ?> inputs) {
            request.setInputs(Models.structOf("inputs", inputs));
            return this;
        }

        /**
         * Reads no value: the result lists only the references.
         *
         * @return this
         */
        public Resolve validateOnly() {
            request.setValidateOnly(true);
            return this;
        }

        @Override
        Resolve self() {
            return this;
        }
    }
}
