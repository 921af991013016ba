package strongroom.client;

/** A field of the request is not valid: {@link #violations()} lists all of them. */
public final class ValidationException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    ValidationException(Details details) {
        super(details);
    }
}
