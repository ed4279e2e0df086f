// What others are sending just now: a list that comes and goes.

import { byId, element, reconcile, show } from "./elements.js";
import { sizeInWords } from "./wording.js";

const MOST_SHOWN = 5;
const QUIET_MS = 30_000;
const LOOK_MS = 5_000;

/** Fills `#arriving`. `isOwn(name)` says what the page itself sends, which has a place of its own. */
export class Arriving {
  #uploads = new Map(); // from an upload's key to what is known of it
  #own = new Set(); // keys of what the page itself sends, or has sent until it was paused

  #frame = 0;

  constructor(isOwn) {
    this.isOwn = isOwn;
    setInterval(() => this.#forget(), LOOK_MS);
  }

  /** Take an event of an upload in. */
  hear(event) {
    if (!event.key) return;
    if (this.isOwn(event.name)) this.#own.add(event.key);
    if (event.event === "completed" || event.event === "cancelled") this.#uploads.delete(event.key);
    else this.#update(event);
    this.#drawSoon();
  }

  clear() {
    this.#uploads.clear();
    this.#drawSoon();
  }

  #update(event) {
    const row = this.#uploads.get(event.key)?.row ?? new Row();
    row.show(event);
    this.#uploads.set(event.key, { row, heard: Date.now() });
  }

  // One of which nothing is heard waits for its sender: it is not arriving.
  #forget() {
    for (const [key, { heard }] of this.#uploads) if (Date.now() - heard > QUIET_MS) this.#uploads.delete(key);
    this.#drawSoon();
  }

  // Once a frame, however many events there are.
  #drawSoon() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = 0;
    const others = [...this.#uploads].filter(([key]) => !this.#own.has(key)).map(([, upload]) => upload);
    const rows = others.slice(0, MOST_SHOWN).map(({ row }) => row.item);
    reconcile(byId("arriving-rows"), rows);
    const hidden = others.length - rows.length;
    byId("arriving-more").textContent = hidden ? `and ${hidden} more` : "";
    show(others.length > 0, byId("arriving"));
  }
}

/** One upload's row. */
class Row {
  #name = element("span", { className: "name" });
  #state = element("span", { className: "state" });
  #bar = element("progress");

  constructor() {
    this.item = element("li", {}, this.#name, this.#state, this.#bar);
  }

  show({ name, size, offset, owner }) {
    const whose = owner && owner !== "anonymous" ? `, from ${owner}` : "";
    this.#name.textContent = `${name}${whose}`;
    this.#bar.ariaLabel = `${name}: how much has arrived`;
    this.#state.textContent = size ? `${sizeInWords(offset)} of ${sizeInWords(size)}` : sizeInWords(offset);
    if (size) Object.assign(this.#bar, { max: size, value: offset });
  }
}
