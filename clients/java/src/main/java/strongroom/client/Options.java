package strongroom.client;

import java.time.Duration;

/**
 * The options of every call that is answered once. A call takes a function that sets them:
 *
 * <pre>{@code client.get("db_password", options -> options.version(3).timeout(Duration.ofSeconds(2)))}</pre>
 *
 * @param <T> the options of the call
 */
public abstract sealed class Options<T extends Options<T>>
        permits ChangeOptions, ReadOptions, AcknowledgeOptions, ClaimOptions, ReleaseOptions, ResolveOptions, AccessOptions {
    Duration timeout;

    Options() {}

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
