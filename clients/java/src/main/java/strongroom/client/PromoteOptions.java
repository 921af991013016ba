package strongroom.client;

import java.time.Duration;
import strongroom.v1.PromoteVersionRequest;

/** The options of {@link StrongroomClient#promote}. */
public final class PromoteOptions extends ChangeOptions<PromoteOptions> {
    final PromoteVersionRequest.Builder request = PromoteVersionRequest.newBuilder();

    PromoteOptions() {}

    /**
     * Sets how long the former version stays readable by its number, 0 to 10 years; then it is disabled.
     *
     * @param gracePeriod the time
     * @return this
     */
    public PromoteOptions gracePeriod(Duration gracePeriod) {
        request.setGracePeriod(Models.protoOf(gracePeriod));
        return this;
    }

    /**
     * Makes the change only if the secret still has this {@link Secret#etag()}.
     *
     * @param etag the etag
     * @return this
     */
    public PromoteOptions etag(String etag) {
        request.setEtag(etag);
        return this;
    }

    /**
     * Names the claim that must still hold; see {@link StrongroomClient#claimRotation}.
     *
     * @param claimId the id of the claim
     * @return this
     */
    public PromoteOptions claimId(String claimId) {
        request.setClaimId(claimId);
        return this;
    }

    @Override
    PromoteOptions self() {
        return this;
    }
}
