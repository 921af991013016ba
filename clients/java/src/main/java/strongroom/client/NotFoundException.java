package strongroom.client;

/** There is no such secret, version, or rotation that is due. */
public final class NotFoundException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    NotFoundException(Details details) {
        super(details);
    }
}
