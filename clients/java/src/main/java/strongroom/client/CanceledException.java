package strongroom.client;

/** The call was canceled or its thread interrupted. A change may or may not have been made. */
public final class CanceledException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    CanceledException(Details details) {
        super(details);
    }
}
