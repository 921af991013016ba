// When a call that failed is sent again, and after how long.
import { misconfigured, type StrongroomError } from "./errors.js";

/**
 * How often a call that failed is sent again, and after which pauses.
 *
 * A call is sent again when the server is unavailable or overloaded, and when other writers changed the same secret at the same
 * time. The pause before the n-th repeat is a random time between half and the whole of `firstDelayMs * 2^(n-1)`, and at most
 * `longestDelayMs`, plus the time that the server asks for. No repeat begins after the call's deadline. With several servers,
 * an attempt at each of them counts as one.
 *
 * Repeats are safe: each change of a secret carries a `requestId`, so that the server makes it once. A call without one, such as
 * `access.createKey` and `secrets.claimRotation`, is sent again only where no connection was made.
 */
export interface RetryPolicy {
  /** How often a call is sent in all. 1: once. */
  readonly attempts: number;
  /** The longest pause before the first repeat, in milliseconds. */
  readonly firstDelayMs: number;
  /** The longest pause before any repeat, in milliseconds. */
  readonly longestDelayMs: number;
}

/** The retry policy of a client that sets none. */
export const DEFAULT_RETRY: RetryPolicy = { attempts: 5, firstDelayMs: 100, longestDelayMs: 5_000 };

/** Returns the policy with the defaults for what is not given. */
export function retryPolicy(given: Partial<RetryPolicy> | undefined): RetryPolicy {
  const policy = { ...DEFAULT_RETRY, ...given };
  for (const key of ["attempts", "firstDelayMs", "longestDelayMs"] as const) {
    if (typeof policy[key] !== "number" || !(policy[key] >= 0)) {
      throw misconfigured(`retry.${key}`, "must be a number, 0 or more.");
    }
  }
  return policy;
}

/** Returns the pause after `made` attempts, in milliseconds. */
export function pauseAfter(policy: RetryPolicy, made: number, error: StrongroomError | undefined): number {
  const longest = Math.min(policy.firstDelayMs * 2 ** Math.min(made - 1, 32), policy.longestDelayMs);
  return longest * (0.5 + Math.random() / 2) + (error?.retryAfterMs ?? 0);
}

/** Whether the call can succeed later, as it is. */
export function isTransient(error: StrongroomError): boolean {
  switch (error.code) {
    case "UNAVAILABLE":
      return true;
    case "RESOURCE_EXHAUSTED":
      return error.retryAfterMs !== undefined || error.reason === undefined || error.reason === "TOO_MANY_REQUESTS";
    default:
      return error.reason === "CONTENDED" || error.retryAfterMs !== undefined;
  }
}
