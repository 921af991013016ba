package strongroom.client;

import java.time.Duration;
import strongroom.v1.ReleaseRotationRequest;

/** The options of {@link StrongroomClient#releaseRotation}. */
public final class ReleaseOptions extends Options<ReleaseOptions> {
    final ReleaseRotationRequest.Builder request = ReleaseRotationRequest.newBuilder();

    ReleaseOptions() {}

    /**
     * Says why the rotation failed, without any value, at most 1,024 bytes.
     *
     * @param failedBecause the reason
     * @return this
     */
    public ReleaseOptions failedBecause(String failedBecause) {
        request.setError(failedBecause);
        return this;
    }

    /**
     * Sets after how long the failed rotation is due again. It needs {@link #failedBecause}.
     *
     * @param retryAfter the time
     * @return this
     */
    public ReleaseOptions retryAfter(Duration retryAfter) {
        request.setRetryAfter(Models.protoOf(retryAfter));
        return this;
    }

    /**
     * Sets the oldest revision to make the change from: the {@link Secret#revision()} of an earlier reply. A server that does not
     * reach it within 10 seconds fails with an {@link UnavailableException}, and changes nothing.
     *
     * @param minRevision the revision
     * @return this
     */
    public ReleaseOptions minRevision(long minRevision) {
        request.setMinRevision(minRevision);
        return this;
    }

    @Override
    ReleaseOptions self() {
        return this;
    }
}
