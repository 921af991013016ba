/**
 * The Java client of Strongroom, the self-hosted secrets service. Begin with {@link strongroom.client.StrongroomClient}.
 *
 * <p>No print of an object of this package shows a value or a credential: only {@link strongroom.client.SecretValue#text()} and
 * {@link strongroom.client.SecretValue#bytes()} return a value.
 */
package strongroom.client;
