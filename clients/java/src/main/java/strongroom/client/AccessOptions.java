package strongroom.client;

/** The options of {@link StrongroomClient#whoAmI} and {@link StrongroomClient#explain}. */
public final class AccessOptions extends Options<AccessOptions> {
    AccessOptions() {}

    @Override
    AccessOptions self() {
        return this;
    }
}
