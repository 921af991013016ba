package strongroom.client;

import strongroom.v1.RotateSecretRequest;

/** The options of {@link StrongroomClient#stage}. */
public final class StageOptions extends ChangeOptions<StageOptions> {
    final RotateSecretRequest.Builder request = RotateSecretRequest.newBuilder();

    StageOptions() {}

    /**
     * Returns the value that the server generated, once: a repeat of the call gets it redacted.
     *
     * @return this
     */
    public StageOptions returnValue() {
        request.setReturnValue(true);
        return this;
    }

    /**
     * Makes the change only if the secret still has this {@link Secret#etag()}.
     *
     * @param etag the etag
     * @return this
     */
    public StageOptions etag(String etag) {
        request.setEtag(etag);
        return this;
    }

    /**
     * Names the claim that must still hold; see {@link StrongroomClient#claimRotation}.
     *
     * @param claimId the id of the claim
     * @return this
     */
    public StageOptions claimId(String claimId) {
        request.setClaimId(claimId);
        return this;
    }

    @Override
    StageOptions self() {
        return this;
    }
}
