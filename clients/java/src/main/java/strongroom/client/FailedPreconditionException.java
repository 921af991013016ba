package strongroom.client;

/** The state of the secret or of the version does not allow the call. The reason says why. */
public final class FailedPreconditionException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    FailedPreconditionException(Details details) {
        super(details);
    }
}
