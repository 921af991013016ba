package strongroom.client;

import java.util.List;
import java.util.Map;

/** A document with the values of its references. No print of it shows the document. */
public final class ResolvedDocument {
    private final transient Map<String, Object> document;
    private final List<ResolvedCredential> credentials;
    private final List<SecretReference> references;
    private final long revision;

    ResolvedDocument(
            Map<String, Object> document,
            List<ResolvedCredential> credentials,
            List<SecretReference> references,
            long revision) {
        this.document = document;
        this.credentials = credentials;
        this.references = references;
        this.revision = revision;
    }

    /**
     * Returns the document with its references resolved. It holds values: do not log it.
     *
     * @return maps, lists, texts, {@code Double}, {@code Boolean} and null; null with {@code validateOnly}
     */
    public Map<String, Object> document() {
        return document;
    }

    /**
     * Returns the secrets that {@code secret_name} beside {@code tool} names, in the order of the document.
     *
     * @return the credentials
     */
    public List<ResolvedCredential> credentials() {
        return credentials;
    }

    /**
     * Returns the secrets that the document names, each once, by name.
     *
     * @return the references
     */
    public List<SecretReference> references() {
        return references;
    }

    /**
     * Returns the revision of the store that all of them were read at.
     *
     * @return the revision
     */
    public long revision() {
        return revision;
    }

    /** Tells how many references the document has. */
    @Override
    public String toString() {
        return "ResolvedDocument(" + references.size() + " references)";
    }
}
