package strongroom.client;

/**
 * A destroyed version and its receipt.
 *
 * @param version the version in its new state
 * @param receipt the signed statement of the server
 */
public record DestroyedVersion(SecretVersion version, DestructionReceipt receipt) {}
