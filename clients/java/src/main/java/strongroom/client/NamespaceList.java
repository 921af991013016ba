package strongroom.client;

import java.util.Iterator;
import java.util.function.Consumer;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * The namespaces in which the caller may list secrets, ordered by the bytes of their names. Each loop begins with the first page,
 * and reads a page when it comes to it.
 */
public final class NamespaceList implements Iterable<Namespace> {
    private final StrongroomClient client;
    private final Consumer<NamespacesOptions> options;

    NamespaceList(StrongroomClient client, Consumer<NamespacesOptions> options) {
        this.client = client;
        this.options = options;
    }

    /** Returns the namespaces of all pages. */
    @Override
    public Iterator<Namespace> iterator() {
        return new Pages<>(token -> {
            NamespacePage page = StrongroomClient.await(client.async().listNamespacesPage(set -> {
                options.accept(set);
                if (!token.isEmpty()) {
                    set.pageToken(token);
                }
            }));
            return new Pages.Page<>(page.namespaces(), page.nextPageToken());
        });
    }

    /**
     * Returns the namespaces of all pages.
     *
     * @return a stream that reads a page when it comes to it
     */
    public Stream<Namespace> stream() {
        return StreamSupport.stream(spliterator(), false);
    }

    /** Tells that the list was not read. */
    @Override
    public String toString() {
        return "NamespaceList(" + client + ")";
    }
}
