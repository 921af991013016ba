package strongroom.client;

import strongroom.v1.BatchGetSecretsRequest;
import strongroom.v1.View;

/** The options of {@link StrongroomClient#batchGet}. */
public final class BatchGetOptions extends ReadOptions<BatchGetOptions> {
    final BatchGetSecretsRequest.Builder request = BatchGetSecretsRequest.newBuilder();

    BatchGetOptions() {}

    /**
     * Leaves the value out. The right to list is then enough.
     *
     * @return this
     */
    public BatchGetOptions metadataOnly() {
        request.setView(View.VIEW_METADATA);
        return this;
    }

    @Override
    BatchGetOptions self() {
        return this;
    }
}
