package strongroom.client;

import java.util.Map;
import strongroom.v1.WatchSecretsRequest;

/** The options of {@link StrongroomClient#watch}. */
public final class WatchOptions {
    final WatchSecretsRequest.Builder request = WatchSecretsRequest.newBuilder();

    WatchOptions() {}

    /**
     * Takes only names that begin with this text, case-sensitive.
     *
     * @param namePrefix the beginning of the names
     * @return this
     */
    public WatchOptions namePrefix(String namePrefix) {
        request.setNamePrefix(namePrefix);
        return this;
    }

    /**
     * Takes only secrets whose metadata has all these pairs exactly.
     *
     * @param metadata the pairs
     * @return this
     */
    public WatchOptions metadata(Map<String, String> metadata) {
        request.clearMetadata().putAllMetadata(metadata);
        return this;
    }

    /**
     * Begins with the secrets that match now.
     *
     * @return this
     */
    public WatchOptions snapshot() {
        request.setSnapshot(true);
        return this;
    }

    /**
     * Also watches the namespaces below.
     *
     * @return this
     */
    public WatchOptions includeChildren() {
        request.setIncludeChildren(true);
        return this;
    }

    /**
     * Continues another watch.
     *
     * @param afterRevision the {@link Event#resumeRevision()} of its last event
     * @return this
     */
    public WatchOptions afterRevision(long afterRevision) {
        request.setAfterRevision(afterRevision);
        return this;
    }
}
