package strongroom.client;

/**
 * A new version that is pending.
 *
 * @param number the number of the version, for {@link StrongroomClient#promote}
 * @param secret the secret; with {@code returnValue}, its value is the generated value of the pending version
 */
public record StagedVersion(int number, Secret secret) {}
