package strongroom.client;

import java.time.Instant;
import java.util.Map;
import strongroom.v1.ListSecretsRequest;

/** The options of {@link StrongroomClient#list}. */
public final class ListOptions extends ReadOptions<ListOptions> {
    final ListSecretsRequest.Builder request = ListSecretsRequest.newBuilder();

    ListOptions() {}

    /**
     * Takes only names that begin with this text, case-sensitive.
     *
     * @param namePrefix the beginning of the names
     * @return this
     */
    public ListOptions namePrefix(String namePrefix) {
        request.setNamePrefix(namePrefix);
        return this;
    }

    /**
     * Takes only secrets whose metadata has all these pairs exactly.
     *
     * @param metadata the pairs
     * @return this
     */
    public ListOptions metadata(Map<String, String> metadata) {
        request.clearMetadata().putAllMetadata(metadata);
        return this;
    }

    /**
     * Sets how many secrets the client asks for at a time, 1 to 1,000; 100 by default.
     *
     * @param pageSize the number of secrets
     * @return this
     */
    public ListOptions pageSize(int pageSize) {
        request.setLimit(pageSize);
        return this;
    }

    /**
     * Continues after another page, for {@link AsyncStrongroomClient#listPage}.
     *
     * @param pageToken the {@link SecretPage#nextPageToken()} of that page
     * @return this
     */
    public ListOptions pageToken(String pageToken) {
        request.setPageToken(pageToken);
        return this;
    }

    /**
     * Sets the order: name, created_at or updated_at; add " desc" for the reverse order. Default: name.
     *
     * @param orderBy the order
     * @return this
     */
    public ListOptions orderBy(String orderBy) {
        request.setOrderBy(orderBy);
        return this;
    }

    /**
     * Also lists deleted secrets that can still be brought back.
     *
     * @return this
     */
    public ListOptions includeDeleted() {
        request.setIncludeDeleted(true);
        return this;
    }

    /**
     * Lists only secrets that are older than this time, and of which no value was read since.
     *
     * @param unusedSince the time
     * @return this
     */
    public ListOptions unusedSince(Instant unusedSince) {
        request.setUnusedSince(Models.timestampOf(unusedSince));
        return this;
    }

    @Override
    ListOptions self() {
        return this;
    }
}
