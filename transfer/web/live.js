// What happens on the server, as it happens: its stream of events.

const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 60_000;

/** Reads `/events` until it is closed. `heard(event)` hears of each, as docs/protocol.md describes them. */
export class Live {
  #source = null;
  #timer = 0;
  #pause = FIRST_PAUSE_MS;

  constructor(heard) {
    this.heard = heard;
  }

  open() {
    this.close();
    this.#source = new EventSource("/events");
    this.#source.onopen = () => (this.#pause = FIRST_PAUSE_MS);
    this.#source.onmessage = ({ data }) => this.heard(JSON.parse(data));
    this.#source.onerror = () => this.#comeBack();
  }

  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  // A browser comes back by itself when the network is gone, and not when the server has refused.
  #comeBack() {
    if (this.#source?.readyState !== EventSource.CLOSED) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.open(), this.#pause);
    this.#pause = Math.min(LONGEST_PAUSE_MS, 2 * this.#pause);
  }
}
