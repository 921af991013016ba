package strongroom.client;

import strongroom.v1.ListSecretVersionsRequest;

/** The options of {@link StrongroomClient#versions}. */
public final class VersionsOptions extends ReadOptions<VersionsOptions> {
    final ListSecretVersionsRequest.Builder request = ListSecretVersionsRequest.newBuilder();

    VersionsOptions() {}

    @Override
    VersionsOptions self() {
        return this;
    }
}
