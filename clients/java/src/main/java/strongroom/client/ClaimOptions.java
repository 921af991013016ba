package strongroom.client;

import java.time.Duration;
import java.util.Map;
import strongroom.v1.ClaimRotationRequest;

/** The options of {@link StrongroomClient#claimRotation}. */
public final class ClaimOptions extends Options<ClaimOptions> {
    final ClaimRotationRequest.Builder request = ClaimRotationRequest.newBuilder();

    ClaimOptions() {}

    /**
     * Takes only names that begin with this text, case-sensitive.
     *
     * @param namePrefix the beginning of the names
     * @return this
     */
    public ClaimOptions namePrefix(String namePrefix) {
        request.setNamePrefix(namePrefix);
        return this;
    }

    /**
     * Takes only secrets whose metadata has all these pairs exactly.
     *
     * @param metadata the pairs
     * @return this
     */
    public ClaimOptions metadata(Map<String, String> metadata) {
        request.clearMetadata().putAllMetadata(metadata);
        return this;
    }

    /**
     * Sets how long the caller holds the rotation, 1 second to 24 hours; 5 minutes by default.
     *
     * @param lease the time
     * @return this
     */
    public ClaimOptions lease(Duration lease) {
        request.setLease(Models.protoOf(lease));
        return this;
    }

    /**
     * Sets the oldest revision to make the change from: the {@link Secret#revision()} of an earlier reply. A server that does not
     * reach it within 10 seconds fails with an {@link UnavailableException}, and changes nothing.
     *
     * @param minRevision the revision
     * @return this
     */
    public ClaimOptions minRevision(long minRevision) {
        request.setMinRevision(minRevision);
        return this;
    }

    @Override
    ClaimOptions self() {
        return this;
    }
}
