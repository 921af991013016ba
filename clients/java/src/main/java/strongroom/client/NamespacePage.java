package strongroom.client;

import java.util.List;

/**
 * One page of a list of namespaces.
 *
 * @param namespaces the namespaces, ordered by the bytes of their names
 * @param nextPageToken the {@code pageToken} of the next page; empty: this is the last page
 * @param revision the revision of the store that the page was read at
 */
public record NamespacePage(List<Namespace> namespaces, String nextPageToken, long revision) {}
