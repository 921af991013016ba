package strongroom.client;

import java.time.Instant;

/**
 * The signed statement of the server that it destroyed a version. {@code strongroom receipt verify} checks it.
 *
 * @param namespace the namespace of the secret
 * @param name the name of the secret
 * @param secretId the id of the secret
 * @param version the number of the destroyed version
 * @param destroyedAt when it was destroyed
 * @param dataKeySha256 the digest of the deleted data key, in hexadecimal; may be empty
 * @param statement the bytes that are signed
 * @param signature the Ed25519 signature of the statement
 * @param publicKey the Ed25519 key of the signature: compare it with a copy from a source that you trust
 * @param keyId a short id of the public key
 */
public record DestructionReceipt(
        String namespace,
        String name,
        String secretId,
        int version,
        Instant destroyedAt,
        String dataKeySha256,
        byte[] statement,
        byte[] signature,
        byte[] publicKey,
        String keyId) {}
