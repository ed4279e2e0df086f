// How long to wait before the next attempt.

const FIRST_PAUSE_MS = 500;

/** A signal for who is not stopped. */
export const NEVER = new AbortController().signal;

/** The pause after so many failures in a row, with some chance in it, so that not all come back at once. */
export function pauseAfter(failures, longestPause) {
  return Math.min(longestPause, FIRST_PAUSE_MS * 2 ** failures) * (0.5 + Math.random() / 2);
}

/** Resolves after so many milliseconds, or as soon as the network is back, or `signal` says that it is no use. */
export function pause(milliseconds, signal) {
  return new Promise((over) => {
    const end = () => {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", end);
      signal.removeEventListener("abort", end);
      over();
    };
    const timer = setTimeout(end, milliseconds);
    globalThis.addEventListener?.("online", end);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}

/** What `promise` says, or the reason of `signal` as soon as it says that nobody waits any more. */
export function unless(signal, promise) {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason);
    signal.addEventListener("abort", leave);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}
