package strongroom.client;

import strongroom.v1.DeleteSecretRequest;

/** The options of {@link StrongroomClient#delete}. */
public final class DeleteOptions extends ChangeOptions<DeleteOptions> {
    final DeleteSecretRequest.Builder request = DeleteSecretRequest.newBuilder();

    DeleteOptions() {}

    /**
     * Makes the change only if the secret still has this {@link Secret#etag()}.
     *
     * @param etag the etag
     * @return this
     */
    public DeleteOptions etag(String etag) {
        request.setEtag(etag);
        return this;
    }

    @Override
    DeleteOptions self() {
        return this;
    }
}
