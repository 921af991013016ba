package strongroom.client;

/**
 * A namespace in which the caller may list secrets.
 *
 * @param name the name of the namespace, such as {@code team/billing}
 * @param secrets how many of its secrets the caller may list, without deleted ones
 * @param deletedSecrets how many of its deleted secrets the caller may list and can still bring back
 */
public record Namespace(String name, int secrets, int deletedSecrets) {}
