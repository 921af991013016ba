package strongroom.client;

import java.util.Iterator;
import java.util.function.Consumer;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** The secrets of a namespace, with redacted values. Each loop begins with the first page, and reads a page when it comes to it. */
public final class SecretList implements Iterable<Secret> {
    private final StrongroomClient client;
    private final Consumer<ListOptions> options;

    SecretList(StrongroomClient client, Consumer<ListOptions> options) {
        this.client = client;
        this.options = options;
    }

    /** Returns the secrets of all pages. */
    @Override
    public Iterator<Secret> iterator() {
        return new Pages<>(token -> {
            SecretPage page = StrongroomClient.await(client.async().listPage(set -> {
                options.accept(set);
                if (!token.isEmpty()) {
                    set.pageToken(token);
                }
            }));
            return new Pages.Page<>(page.secrets(), page.nextPageToken());
        });
    }

    /**
     * Returns the secrets of all pages.
     *
     * @return a stream that reads a page when it comes to it
     */
    public Stream<Secret> stream() {
        return StreamSupport.stream(spliterator(), false);
    }

    /** Tells that the list was not read. */
    @Override
    public String toString() {
        return "SecretList(" + client + ")";
    }
}
