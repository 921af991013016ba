package strongroom.client;

/** No answer came in time. A change may or may not have been made: see {@link #sentRequestId()}. */
public final class DeadlineExceededException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    DeadlineExceededException(Details details) {
        super(details);
    }
}
