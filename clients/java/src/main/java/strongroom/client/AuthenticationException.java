package strongroom.client;

/** The credential is missing, malformed, unknown, revoked or expired. */
public final class AuthenticationException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    AuthenticationException(Details details) {
        super(details);
    }
}
