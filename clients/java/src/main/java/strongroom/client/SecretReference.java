package strongroom.client;

import java.util.List;

/**
 * A secret that a document names.
 *
 * @param name the name of the secret
 * @param paths the places that name it: JSON Pointers
 * @param exists whether the secret exists; always false when the caller may not know
 * @param readable whether the caller can read its value
 */
public record SecretReference(String name, List<String> paths, boolean exists, boolean readable) {}
