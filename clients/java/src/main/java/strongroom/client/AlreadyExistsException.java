package strongroom.client;

/** The name is taken. Nothing was changed. */
public final class AlreadyExistsException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    AlreadyExistsException(Details details) {
        super(details);
    }
}
