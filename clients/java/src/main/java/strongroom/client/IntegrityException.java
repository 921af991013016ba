package strongroom.client;

/** The stored record was altered or damaged. Restore it from a backup. */
public final class IntegrityException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    IntegrityException(Details details) {
        super(details);
    }
}
