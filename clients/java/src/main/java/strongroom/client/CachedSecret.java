package strongroom.client;

import java.time.Instant;

/**
 * A secret of a cache.
 *
 * @param secret the secret; its value is a copy of its own
 * @param stale whether the connection to the server is lost, so that the secret may have changed since
 * @param staleSince when the connection was lost; null: it is not
 */
public record CachedSecret(Secret secret, boolean stale, Instant staleSince) {
    /**
     * Returns the value of the secret.
     *
     * @return the value, a copy of its own
     */
    public SecretValue value() {
        return secret.value();
    }
}
