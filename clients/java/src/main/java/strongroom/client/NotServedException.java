package strongroom.client;

/** The release of the server does not serve the call, or a field of it. */
public final class NotServedException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    NotServedException(Details details) {
        super(details);
    }
}
