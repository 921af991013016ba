package strongroom.client;

/**
 * What {@link StrongroomClient#explain} asks.
 *
 * @param right the right in question
 * @param namespace the namespace in question; empty: the service as a whole
 * @param name the name of a secret, which need not exist; empty: at least one name of the namespace
 * @param principal who is asked about; empty: the caller
 */
public record Question(Right right, String namespace, String name, String principal) {
    /**
     * Makes a question about the caller.
     *
     * @param right the right in question
     * @param namespace the namespace in question; empty: the service as a whole
     * @param name the name of a secret; empty: at least one name of the namespace
     */
    public Question(Right right, String namespace, String name) {
        this(right, namespace, name, "");
    }
}
