package strongroom.client;

import java.util.Map;
import strongroom.v1.Consistency;
import strongroom.v1.ResolveReferencesRequest;

/** The options of {@link StrongroomClient#resolve}. */
public final class ResolveOptions extends Options<ResolveOptions> {
    final ResolveReferencesRequest.Builder request = ResolveReferencesRequest.newBuilder();

    ResolveOptions() {}

    /**
     * Sets what the expressions of the document see: the key {@code input} as {@code input} and {@code _}, every other key
     * below {@code inputs}.
     *
     * @param inputs the inputs, of the types that a document can hold
     * @return this
     */
    public ResolveOptions inputs(Map<String, ?> inputs) {
        request.setInputs(Models.structOf("inputs", inputs));
        return this;
    }

    /**
     * Reads no value: the result lists only the references.
     *
     * @return this
     */
    public ResolveOptions validateOnly() {
        request.setValidateOnly(true);
        return this;
    }

    /**
     * Lets a replica answer from what it has in memory; see {@link ReadOptions#cachedRead()}.
     *
     * @return this
     */
    public ResolveOptions cachedRead() {
        request.setConsistency(Consistency.CONSISTENCY_CACHED);
        return this;
    }

    @Override
    ResolveOptions self() {
        return this;
    }
}
