package strongroom.client;

/** No binding gives the caller the right. {@link StrongroomClient#explain} says why. */
public final class PermissionDeniedException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    PermissionDeniedException(Details details) {
        super(details);
    }
}
