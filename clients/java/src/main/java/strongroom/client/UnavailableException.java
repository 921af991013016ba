package strongroom.client;

/** The server cannot be reached or cannot serve now, and the retries did not help. */
public final class UnavailableException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    UnavailableException(Details details) {
        super(details);
    }
}
