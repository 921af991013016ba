package strongroom.client;

import java.time.Instant;
import java.util.Map;
import strongroom.v1.UpdateSecretRequest;

/** The options of {@link StrongroomClient#update}. */
public final class UpdateOptions extends ChangeOptions<UpdateOptions> {
    final UpdateSecretRequest.Builder request = UpdateSecretRequest.newBuilder();

    UpdateOptions() {}

    /**
     * Renames the secret.
     *
     * @param newName the new name
     * @return this
     */
    public UpdateOptions newName(String newName) {
        request.setNewName(newName);
        return this;
    }

    /**
     * Sets a new value, which becomes a new version.
     *
     * @param value the value
     * @return this
     */
    public UpdateOptions value(SecretValue value) {
        request.setValue(value.proto());
        return this;
    }

    /**
     * Sets the description, at most 1,024 bytes. In an update, an empty one clears it.
     *
     * @param description the description
     * @return this
     */
    public UpdateOptions description(String description) {
        request.setDescription(description);
        return this;
    }

    /**
     * Replaces all pairs of the secret, at most 64. An empty map clears them.
     *
     * @param metadata the pairs
     * @return this
     */
    public UpdateOptions metadata(Map<String, String> metadata) {
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
    public UpdateOptions expiresAt(Instant expiresAt) {
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
    public UpdateOptions rotationPolicy(RotationPolicy rotationPolicy) {
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
    public UpdateOptions etag(String etag) {
        request.setEtag(etag);
        return this;
    }

    private void clear(String field) {
        if (!request.getUpdateMask().getPathsList().contains(field)) {
            request.getUpdateMaskBuilder().addPaths(field);
        }
    }

    @Override
    UpdateOptions self() {
        return this;
    }
}
