package strongroom.client;

import java.time.Duration;

/**
 * When and how the server rotates a secret.
 *
 * @param interval the time between two rotations, 1 second to 10 years; null: only on request
 * @param generator makes the new values, so the server rotates by itself; null: a worker does
 * @param gracePeriod how long the former version stays readable by its number; null: as long as the server keeps it
 * @param window the time of day (UTC) within which rotations are made, such as {@code 02:00-04:00}; empty: any time
 * @param paused no rotations are made until the policy is changed
 * @param retireWhenUnread disables the former version as soon as each of its consumers uses a newer one; needs a grace period
 */
public record RotationPolicy(
        Duration interval,
        Generator generator,
        Duration gracePeriod,
        String window,
        boolean paused,
        boolean retireWhenUnread) {
    /**
     * Makes a policy whose new values a worker makes, with {@link StrongroomClient#claimRotation}.
     *
     * @param interval the time between two rotations
     * @return the policy
     */
    public static RotationPolicy every(Duration interval) {
        return new RotationPolicy(interval, null, null, "", false, false);
    }

    /**
     * Makes a policy whose new values the server makes.
     *
     * @param interval the time between two rotations
     * @param generator how the values are made
     * @return the policy
     */
    public static RotationPolicy every(Duration interval, Generator generator) {
        return new RotationPolicy(interval, generator, null, "", false, false);
    }
}
