package strongroom.client;

/** The client or the cache was closed before. Make a new one. */
public final class ClientClosedException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    ClientClosedException() {
        super("The client is closed: make a new one.");
    }
}
