package strongroom.client;

import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.function.Function;

/** The items of all pages of a list. It reads a page when it comes to it. */
final class Pages<T> implements Iterator<T> {
    /**
     * A page that was read.
     *
     * @param items its items
     * @param nextPageToken the token of the next page; empty: this is the last page
     */
    record Page<T>(List<T> items, String nextPageToken) {}

    private final Function<String, Page<T>> read;
    private Iterator<T> page;
    private String next = "";

    /** Reads a page by its token with this function; the token of the first page is empty. */
    Pages(Function<String, Page<T>> read) {
        this.read = read;
    }

    @Override
    public boolean hasNext() {
        while (page == null || !page.hasNext() && !next.isEmpty()) {
            Page<T> found = read.apply(next);
            page = found.items().iterator();
            next = found.nextPageToken();
        }
        return page.hasNext();
    }

    @Override
    public T next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        return page.next();
    }
}
