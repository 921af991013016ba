package strongroom.client;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import strongroom.v1.CreateSecretRequest;

/** The options of {@link StrongroomClient#create}. */
public final class CreateOptions extends ChangeOptions<CreateOptions> {
    final CreateSecretRequest.Builder request = CreateSecretRequest.newBuilder();

    CreateOptions() {}

    /**
     * Sets the description, at most 1,024 bytes. In an update, an empty one clears it.
     *
     * @param description the description
     * @return this
     */
    public CreateOptions description(String description) {
        request.setDescription(description);
        return this;
    }

    /**
     * Sets the pairs of the secret, at most 64.
     *
     * @param metadata the pairs
     * @return this
     */
    public CreateOptions metadata(Map<String, String> metadata) {
        request.clearMetadata().putAllMetadata(metadata);
        return this;
    }

    /**
     * Sets when the secret expires. In an update, null lets it live for ever.
     *
     * @param expiresAt the time
     * @return this
     */
    public CreateOptions expiresAt(Instant expiresAt) {
        request.setExpiresAt(Models.timestampOf(expiresAt));
        return this;
    }

    /**
     * Sets how long the new secret lives.
     *
     * @param ttl the time
     * @return this
     */
    public CreateOptions ttl(Duration ttl) {
        request.setTtl(Models.protoOf(ttl));
        return this;
    }

    /**
     * Sets when and how the secret is rotated. In an update, null removes the policy.
     *
     * @param rotationPolicy the policy
     * @return this
     */
    public CreateOptions rotationPolicy(RotationPolicy rotationPolicy) {
        request.setRotationPolicy(Models.protoOf(rotationPolicy));
        return this;
    }

    /**
     * Returns the value that the server generated, once: a repeat of the call gets it redacted.
     *
     * @return this
     */
    public CreateOptions returnValue() {
        request.setReturnValue(true);
        return this;
    }

    @Override
    CreateOptions self() {
        return this;
    }
}
