package strongroom.client;

/** Where a new value comes from: a {@link SecretValue} of the caller, or a {@link Generator} of the server. */
public sealed interface Source permits SecretValue, Generator {
    /**
     * Returns the source of a rotation whose value the generator of the secret's {@link RotationPolicy} makes.
     *
     * @return the source
     */
    static Source byPolicy() {
        return Generator.BY_POLICY;
    }
}
