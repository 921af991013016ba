package strongroom.client;

/**
 * A secret that a step of a document uses as its credential.
 *
 * @param path the place of the step: a JSON Pointer, for example {@code /steps/0}
 * @param secretName the name of the secret
 * @param value its value
 */
public record ResolvedCredential(String path, String secretName, SecretValue value) {}
