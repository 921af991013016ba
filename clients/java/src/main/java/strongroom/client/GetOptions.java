package strongroom.client;

import strongroom.v1.GetSecretRequest;
import strongroom.v1.View;

/** The options of {@link StrongroomClient#get}. */
public final class GetOptions extends ReadOptions<GetOptions> {
    final GetSecretRequest.Builder request = GetSecretRequest.newBuilder();

    GetOptions() {}

    /**
     * Reads this version, and not the current one.
     *
     * @param version the number of the version
     * @return this
     */
    public GetOptions version(int version) {
        request.setVersion(version);
        return this;
    }

    /**
     * Leaves the value out. The right to list is then enough.
     *
     * @return this
     */
    public GetOptions metadataOnly() {
        request.setView(View.VIEW_METADATA);
        return this;
    }

    @Override
    GetOptions self() {
        return this;
    }
}
