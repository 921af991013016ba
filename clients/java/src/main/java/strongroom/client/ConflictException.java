package strongroom.client;

/** The secret has changed since the etag, or others changed it each time. Read it and decide again. */
public final class ConflictException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    ConflictException(Details details) {
        super(details);
    }
}
