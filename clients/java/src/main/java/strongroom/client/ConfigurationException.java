package strongroom.client;

/** The settings of the client, or the arguments of a call, cannot be used. No request was sent. */
public final class ConfigurationException extends StrongroomException {
    private static final long serialVersionUID = 1L;

    ConfigurationException(String message) {
        super(message);
    }

    ConfigurationException(String message, Throwable cause) {
        super(message);
        initCause(cause);
    }
}
