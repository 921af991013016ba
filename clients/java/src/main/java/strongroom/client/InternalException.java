package strongroom.client;

/** A defect of the server, or an answer that is not one of Strongroom. */
public final class InternalException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    InternalException(Details details) {
        super(details);
    }
}
