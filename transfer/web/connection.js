// One WebSocket to Towline: who calls is said first, and what the server says is heard in order. No page is needed here.

const PROTOCOL = "towline.v1";
const SILENCE_MS = 60_000;
const LOOK_MS = 5_000;
const COMING_BACK = new Set([1000, 1001, 1005, 1006, 1011, 1012, 4408]); // docs/protocol.md, Errors

/** What the server refuses, in its own words. `retryable`: the same may succeed later, by waiting alone. */
export class Refused extends Error {
  constructor({ code, message, detail, retryable = false, ...facts }) {
    super(message ?? detail);
    Object.assign(this, { name: "Refused", code, retryable, facts });
  }
}

/** The connection has ended, or never came about: come back and go on. */
export class Broken extends Error {}

/** A connection. Whoever has opened it hears what comes, one message after another, and closes it. */
export class Connection {
  #socket;
  #messages = [];
  #listener = null;
  #failure = null;
  #watch;
  #seen = "";
  #since = 0;
  #count = 0;

  /** Connect, and say who calls where `credentials` (`token`, `visitor`) say so. Rejects with Refused or Broken. */
  static async open(url, credentials) {
    const connection = new Connection(url);
    try {
      await connection.hear("open");
      if (credentials) {
        connection.send({ type: "auth", ...credentials });
        await connection.hear("authorized");
      }
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  constructor(url) {
    this.#socket = new WebSocket(url, PROTOCOL);
    this.#socket.onopen = () => this.#take({ type: "open" });
    this.#socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    this.#socket.onclose = ({ code }) => this.#end(code);
    this.#socket.onerror = () => this.#end(1006); // not every one says `close` when it never came about
    this.#watch = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Send a message, or the bytes of a file. */
  send(message) {
    const isBytes = message instanceof ArrayBuffer;
    this.#socket.send(isBytes ? message : JSON.stringify(message));
  }

  /** The next message of one of these types; others are passed over. Rejects with Refused or Broken. */
  async hear(...types) {
    for (;;) {
      const message = await this.#next();
      if (message.type === "error") throw new Refused(message);
      if (types.includes(message.type)) return message;
    }
  }

  /** End it. Uploads that are not complete stay where they are. */
  close() {
    this.#fail(new Broken("it was closed here"));
    this.#socket.close();
  }

  async #next() {
    if (!this.#messages.length && !this.#failure) await new Promise((listener) => (this.#listener = listener));
    if (this.#messages.length) return this.#messages.shift();
    throw this.#failure;
  }

  #take(message) {
    this.#count += 1;
    this.#messages.push(message);
    this.#wake();
  }

  #end(code) {
    const message = `the server closed the connection with code ${code}`;
    this.#fail(COMING_BACK.has(code) ? new Broken(message) : new Refused({ code: "closed", message }));
  }

  #fail(error) {
    this.#failure ??= error;
    clearInterval(this.#watch);
    this.#wake();
  }

  #wake() {
    this.#listener?.();
    this.#listener = null;
  }

  // A browser does not tell a page that nothing gets through any more. Neither an answer nor a byte sent, for a minute,
  // while an answer is waited for: it is dead.
  #look() {
    const seen = `${this.#count} ${this.#socket.bufferedAmount}`;
    if (!this.#listener || seen !== this.#seen) {
      this.#seen = seen;
      this.#since = Date.now();
    } else if (Date.now() - this.#since >= SILENCE_MS) {
      this.close();
    }
  }
}
