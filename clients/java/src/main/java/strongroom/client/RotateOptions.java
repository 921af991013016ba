package strongroom.client;

import java.time.Duration;
import strongroom.v1.RotateSecretRequest;

/** The options of {@link StrongroomClient#rotate}. */
public final class RotateOptions extends ChangeOptions<RotateOptions> {
    final RotateSecretRequest.Builder request = RotateSecretRequest.newBuilder();

    RotateOptions() {}

    /**
     * Sets how long the former version stays readable by its number, 0 to 10 years; then it is disabled.
     *
     * @param gracePeriod the time
     * @return this
     */
    public RotateOptions gracePeriod(Duration gracePeriod) {
        request.setGracePeriod(Models.protoOf(gracePeriod));
        return this;
    }

    /**
     * Returns the value that the server generated, once: a repeat of the call gets it redacted.
     *
     * @return this
     */
    public RotateOptions returnValue() {
        request.setReturnValue(true);
        return this;
    }

    /**
     * Makes the change only if the secret still has this {@link Secret#etag()}.
     *
     * @param etag the etag
     * @return this
     */
    public RotateOptions etag(String etag) {
        request.setEtag(etag);
        return this;
    }

    /**
     * Names the claim that must still hold; see {@link StrongroomClient#claimRotation}.
     *
     * @param claimId the id of the claim
     * @return this
     */
    public RotateOptions claimId(String claimId) {
        request.setClaimId(claimId);
        return this;
    }

    @Override
    RotateOptions self() {
        return this;
    }
}
