// What happens on the server, as it happens: its stream of events. A page that nobody sees does without: of one server a
// browser keeps six answers open at most, and a seventh tab would wait for its first.

const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 60_000;

/** Reads `/events` until it is closed. `heard(event)` hears of each, as docs/protocol.md describes them; `refused()` when the
 * server refuses. */
export class Live {
  #isWanted = false;
  #source = null;
  #timer = 0;
  #pause = FIRST_PAUSE_MS;

  constructor({ heard, refused }) {
    Object.assign(this, { heard, refused });
    document.addEventListener("visibilitychange", () => this.#isWanted && this.#connect());
  }

  open() {
    this.#isWanted = true;
    this.#connect();
  }

  close() {
    this.#isWanted = false;
    this.#disconnect();
  }

  #connect() {
    this.#disconnect();
    if (document.hidden) return;
    this.#source = new EventSource("/events");
    this.#source.onopen = () => (this.#pause = FIRST_PAUSE_MS);
    this.#source.onmessage = ({ data }) => this.heard(JSON.parse(data));
    this.#source.onerror = () => this.#comeBack();
  }

  #disconnect() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  // A browser comes back by itself when the network is gone, and not when the server has refused.
  #comeBack() {
    if (this.#source?.readyState !== EventSource.CLOSED) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), this.#pause);
    this.#pause = Math.min(LONGEST_PAUSE_MS, 2 * this.#pause);
    this.refused();
  }
}
