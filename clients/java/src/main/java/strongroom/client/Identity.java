package strongroom.client;

import java.util.List;

/**
 * Who the caller is.
 *
 * @param principal the caller: {@code key:ID}, {@code cert:SAN} or {@code jwt:ISSUER:SUBJECT}
 * @param homeNamespace what an empty namespace means
 * @param rights the rights with at least one name of the home namespace, and with the service as a whole
 * @param groups the groups that the token names
 * @param apiKeyName the name of the API key; empty: the caller sent another credential
 */
public record Identity(
        String principal,
        String homeNamespace,
        List<Right> rights,
        List<String> groups,
        String apiKeyName) {}
