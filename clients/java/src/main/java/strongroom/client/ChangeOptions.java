package strongroom.client;

import java.util.UUID;

/**
 * The options of every change that the server makes once for each request id.
 *
 * @param <T> the options of the call
 */
public abstract sealed class ChangeOptions<T extends ChangeOptions<T>> extends Options<T>
        permits CreateOptions, UpdateOptions, DeleteOptions, UndeleteOptions, RotateOptions, StageOptions, PromoteOptions,
                VersionOptions {
    String requestId = UUID.randomUUID().toString();
    long minRevision;

    ChangeOptions() {}

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

    /**
     * Sets the oldest revision to make the change from: the {@link Secret#revision()} of an earlier reply. A server that does not
     * reach it within 10 seconds fails with an {@link UnavailableException}, and changes nothing.
     *
     * @param minRevision the revision
     * @return this
     */
    public T minRevision(long minRevision) {
        this.minRevision = minRevision;
        return self();
    }
}
