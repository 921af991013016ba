// Waiting, with an end.

/** Waits. Returns early where the signal is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end, { once: true });
  });
}

/** Returns what the promise gives. Undefined: the time was over first. Throws the signal's reason where it is aborted first. */
export async function within<T>(
  promise: Promise<T>,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  signal?.throwIfAborted();
  let settle: (() => void) | undefined;
  const ended = new Promise<undefined>((resolve, reject) => {
    const timer =
      ms === Number.POSITIVE_INFINITY ? undefined : setTimeout(resolve, Math.min(ms, 0x7fffffff), undefined);
    const aborted = () => reject(signal?.reason);
    signal?.addEventListener("abort", aborted, { once: true });
    settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
    };
  });
  try {
    return await Promise.race([promise, ended]);
  } finally {
    settle?.();
  }
}
