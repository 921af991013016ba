package strongroom.client;

/** A limit or a quota is reached. The reason and the message say which. */
public final class LimitExceededException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    LimitExceededException(Details details) {
        super(details);
    }
}
