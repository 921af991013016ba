package strongroom.client;

/** The server does not keep the changes after this revision any more. Watch again with a snapshot. */
public final class RevisionCompactedException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    RevisionCompactedException(Details details) {
        super(details);
    }
}
