package strongroom.client;

import java.util.List;

/**
 * One page of a list.
 *
 * @param secrets the secrets, with redacted values
 * @param nextPageToken the {@code pageToken} of the next page; empty: this is the last page
 * @param revision the revision of the store that the page was read at
 */
public record SecretPage(List<Secret> secrets, String nextPageToken, long revision) {}
