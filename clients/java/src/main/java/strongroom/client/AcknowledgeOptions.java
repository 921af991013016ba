package strongroom.client;

import strongroom.v1.AcknowledgeVersionRequest;

/** The options of {@link StrongroomClient#acknowledge}. */
public final class AcknowledgeOptions extends Options<AcknowledgeOptions> {
    final AcknowledgeVersionRequest.Builder request = AcknowledgeVersionRequest.newBuilder();

    AcknowledgeOptions() {}

    /**
     * Sets what the consumer calls itself, for consumers that share a credential.
     *
     * @param consumer the name
     * @return this
     */
    public AcknowledgeOptions consumer(String consumer) {
        request.setConsumer(consumer);
        return this;
    }

    /**
     * Sets the oldest revision to make the change from: the {@link Secret#revision()} of an earlier reply. A server that does not
     * reach it within 10 seconds fails with an {@link UnavailableException}, and changes nothing.
     *
     * @param minRevision the revision
     * @return this
     */
    public AcknowledgeOptions minRevision(long minRevision) {
        request.setMinRevision(minRevision);
        return this;
    }

    @Override
    AcknowledgeOptions self() {
        return this;
    }
}
