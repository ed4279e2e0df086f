// One WebSocket to Towline, and the operations on it: what the server answers finds the operation that it is for. No
// page is needed here.

const PROTOCOL = "towline.v1";
const SILENCE_MS = 45_000;
const LOOK_MS = 5_000;
// docs/protocol.md, Errors. After 4409 others than the operation that was told `superseded` go on.
const COMING_BACK = new Set([1000, 1001, 1005, 1006, 1011, 1012, 4408, 4409]);
const LAST_WORDS = new Set(["complete", "cancelled", "error"]);

/** What the server refuses, in its own words. `retryable`: the same may succeed later, by waiting alone. */
export class Refused extends Error {
  constructor({ code, message, detail, retryable = false, ...facts }) {
    super(message ?? detail);
    Object.assign(this, { name: "Refused", code, retryable, facts });
  }
}

/** The connection has ended, or never came about: come back and go on. */
export class Broken extends Error {}

/** A connection. Whoever has made it enters, begins operations one after another, and closes it. */
export class Connection {
  #socket;
  #operations = new Map(); // by their `ref`; without one: what is said before the first
  #entering = new Operation(this, undefined);
  #refs = 0;
  #failure = null;
  #watch;
  #seen = "";
  #since = 0;
  #count = 0;

  constructor(url) {
    this.#operations.set(undefined, this.#entering);
    this.#socket = new WebSocket(url, PROTOCOL);
    this.#socket.onopen = () => this.#take({ type: "open" });
    this.#socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    this.#socket.onclose = ({ code }) => this.#end(code);
    this.#socket.onerror = () => this.#end(1006); // not every one says `close` when it never came about
    this.#watch = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Wait until it is open, and say who calls where `credentials` (`token`, `visitor`) say so. Rejects with Refused or
   * Broken. */
  async enter(credentials) {
    await this.#entering.hear("open");
    if (!credentials) return;
    this.#entering.send({ type: "auth", ...credentials });
    await this.#entering.hear("authorized");
  }

  /** Send a header; the operation hears what the server answers to it. */
  begin(header) {
    const operation = new Operation(this, (this.#refs += 1));
    this.#operations.set(this.#refs, operation);
    if (this.#failure) operation.fail(this.#failure);
    else operation.send({ ...header, ref: this.#refs });
    return operation;
  }

  /** Send a message, or the bytes of a file. On a connection that is not open it is lost; of its
   * end `hear` tells. */
  send(message) {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send(message instanceof ArrayBuffer ? message : JSON.stringify(message));
  }

  /** Forget an operation that is over, and that the server does not end with a last word. */
  end(operation) {
    this.#operations.delete(operation.ref);
  }

  /** End it. Uploads that are not complete stay where they are. */
  close() {
    this.#fail(new Broken("it was closed here"));
    this.#socket.close();
  }

  // An error without `ref` is about the connection, and so about every operation on it.
  #take(message) {
    this.#count += 1;
    if (message.type === "error" && message.ref === undefined) this.#fail(new Refused(message));
    const operation = this.#operations.get(message.ref);
    if (LAST_WORDS.has(message.type)) this.#operations.delete(message.ref);
    operation?.take(message);
  }

  #end(code) {
    const message = `the server closed the connection with code ${code}`;
    this.#fail(COMING_BACK.has(code) ? new Broken(message) : new Refused({ code: "closed", message }));
  }

  #fail(error) {
    this.#failure ??= error;
    clearInterval(this.#watch);
    for (const operation of this.#operations.values()) operation.fail(this.#failure);
    this.#operations.clear();
  }

  // A browser does not tell a page that nothing gets through any more. Neither an answer nor a byte sent for so long,
  // while an answer is waited for: it is dead.
  #look() {
    const seen = `${this.#count} ${this.#socket.bufferedAmount}`;
    const isOwed = [...this.#operations.values()].some((operation) => operation.isOwed);
    if (!isOwed || seen !== this.#seen) {
      this.#seen = seen;
      this.#since = Date.now();
    } else if (Date.now() - this.#since >= SILENCE_MS) {
      this.close();
    }
  }
}

/** One operation of a connection. */
class Operation {
  #connection;
  #messages = [];
  #listener = null;
  #failure = null;
  /** Nothing is to be expected from the server, for as long as this is set. */
  isPatient = false;

  constructor(connection, ref) {
    this.#connection = connection;
    this.ref = ref;
  }

  /** Whether somebody waits for the server's next word. */
  get isOwed() {
    return this.#listener !== null && !this.isPatient;
  }

  /** Send what belongs to the operation. */
  send(message) {
    this.#connection.send(message);
  }

  /** The next message of one of these types; others are passed over. Rejects with Refused or Broken. */
  async hear(...types) {
    for (;;) {
      const message = await this.#next();
      if (message.type === "error") throw new Refused(message);
      if (types.includes(message.type)) return message;
    }
  }

  /** It is over, with an answer that may come to others too. */
  end() {
    this.#connection.end(this);
  }

  take(message) {
    this.#messages.push(message);
    this.#wake();
  }

  fail(error) {
    this.#failure ??= error;
    this.#wake();
  }

  async #next() {
    if (!this.#messages.length && !this.#failure) await new Promise((listener) => (this.#listener = listener));
    if (this.#messages.length) return this.#messages.shift();
    throw this.#failure;
  }

  #wake() {
    this.#listener?.();
    this.#listener = null;
  }
}
