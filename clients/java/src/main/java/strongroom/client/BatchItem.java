package strongroom.client;

/**
 * One of several secrets: exactly one of {@code secret} and {@code error} is not null.
 *
 * @param name the name that was asked for
 * @param secret the secret
 * @param error the error that {@link StrongroomClient#get} would throw
 */
public record BatchItem(String name, Secret secret, StrongroomException error) {}
