/**
 * When to try again: full jitter, each delay drawn evenly between 0 and a ceiling that doubles.
 *
 * Source: Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
 */

const BASE_MS = 200;
const CEILING_MS = 10_000;

export class Backoff {
  #failures = 0;

  reset(): void {
    this.#failures = 0;
  }

  /** Returns how long to wait now; never less than what the server asked for. */
  nextDelayMs(atLeastMs = 0): number {
    const ceiling = Math.min(CEILING_MS, BASE_MS * 2 ** this.#failures);
    this.#failures += 1;
    return atLeastMs + Math.random() * ceiling;
  }
}
