// How fast something gets on, and how long it still takes. Times are milliseconds of any clock.

const WINDOW_MS = 6_000;
const SOONEST_MS = 800;

/** The pace of a count of bytes over the last seconds. */
export class Pace {
  #marks = [];

  /** So many bytes are there now. */
  mark(bytes, now) {
    if (this.#marks.length && bytes < this.#marks.at(-1).bytes) this.#marks = [];
    if (this.#marks.at(-1)?.bytes !== bytes) this.#marks.push({ bytes, now });
    while (this.#marks.length > 2 && now - this.#marks[1].now > WINDOW_MS) this.#marks.shift();
  }

  /** Begin anew: there was a pause. */
  forget() {
    this.#marks = [];
  }

  /** Bytes a second; null while there is too little to go by. */
  speed(now) {
    const [first] = this.#marks;
    if (this.#marks.length < 2 || now - first.now < SOONEST_MS) return null;
    return ((this.#marks.at(-1).bytes - first.bytes) * 1_000) / (now - first.now);
  }

  /** Since when nothing has moved. */
  stillSince() {
    return this.#marks.at(-1)?.now ?? null;
  }
}

/** A time: `12 s`, `3 min`, `2 h 10 min`. */
export function durationInWords(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`;
}

/** A pace and what is left at it, where they are known: `, 2.3 MB/s, 5 s left`. */
export function paceInWords(speed, bytesLeft, sizeInWords) {
  if (!speed) return "";
  return `, ${sizeInWords(Math.round(speed))}/s, ${durationInWords(bytesLeft / speed)} left`;
}
