package strongroom.client;

import java.time.Duration;

/**
 * How often a call that failed is made again: when the server is unavailable, when it is busy, and when others changed the
 * same secret at the same time. The client waits as long as the server asks for, and a random time in addition: between half
 * and the whole of {@code firstDelay}, which doubles each time up to {@code longestDelay}. No attempt begins after the deadline.
 *
 * @param attempts how often a call is made in all; 1: once
 * @param firstDelay the longest pause before the second attempt
 * @param longestDelay the longest pause before any attempt
 */
public record RetryPolicy(int attempts, Duration firstDelay, Duration longestDelay) {
    /** Five attempts, with pauses from 0.1 to 5 seconds. */
    public static final RetryPolicy DEFAULT = new RetryPolicy(5, Duration.ofMillis(100), Duration.ofSeconds(5));

    /**
     * Checks the settings.
     *
     * @param attempts how often a call is made in all; 1: once
     * @param firstDelay the longest pause before the second attempt
     * @param longestDelay the longest pause before any attempt
     */
    public RetryPolicy {
        if (attempts < 1 || firstDelay.isNegative() || longestDelay.compareTo(firstDelay) < 0) {
            throw new ConfigurationException(
                    "A retry policy needs at least 1 attempt, and a longestDelay that is not below firstDelay.");
        }
    }

    /** Returns how long to wait after so many attempts. {@code random} is from 0 to 1. */
    Duration pauseAfter(int made, Duration asked, double random) {
        double longest = Math.min(firstDelay.toNanos() * Math.pow(2, Math.min(made, 32) - 1), longestDelay.toNanos());
        return asked.plusNanos((long) (longest * (0.5 + random / 2)));
    }
}
