package strongroom.client;

import strongroom.v1.ListNamespacesRequest;

/** The options of {@link StrongroomClient#listNamespaces}. */
public final class NamespacesOptions extends ReadOptions<NamespacesOptions> {
    final ListNamespacesRequest.Builder request = ListNamespacesRequest.newBuilder();

    NamespacesOptions() {}

    /**
     * Takes only this namespace and those below it: with {@code team}, also {@code team/billing}.
     *
     * @param below the namespace
     * @return this
     */
    public NamespacesOptions below(String below) {
        request.setBelow(below);
        return this;
    }

    /**
     * Sets how many namespaces the client asks for at a time, 1 to 1,000; 100 by default.
     *
     * @param pageSize the number of namespaces
     * @return this
     */
    public NamespacesOptions pageSize(int pageSize) {
        request.setLimit(pageSize);
        return this;
    }

    /**
     * Continues after another page, for {@link AsyncStrongroomClient#listNamespacesPage}.
     *
     * @param pageToken the {@link NamespacePage#nextPageToken()} of that page
     * @return this
     */
    public NamespacesOptions pageToken(String pageToken) {
        request.setPageToken(pageToken);
        return this;
    }

    @Override
    NamespacesOptions self() {
        return this;
    }
}
