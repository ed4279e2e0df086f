// The list of files: one page of one view at a time, so that it is as quick with 100,000 files as with ten.

import { ask } from "./api.js";
import { byId, element, reconcile, show } from "./elements.js";
import { fileEntry, folderEntry } from "./entries.js";
import { icon } from "./icons.js";
import { announce } from "./notices.js";
import { lastSegment, sortAfter, View } from "./view.js";

const TYPING_MS = 250;
const AGAIN_MS = 1_000;

/**
 * Fills `#files`. `remove(file, over)` deletes one and returns the button that undoes it, `isLeftOut(name)` says which are not shown;
 * `shown(view)` hears what is, and `failed(error)` why something is not.
 */
export class Files {
  #entries = new Map(); // from what makes an entry to its row
  #home = ""; // the folder above which there is nothing to see
  #isOpen = false;
  #rights = {};
  #asked = 0; // counts, so that an answer that comes late is not shown
  #typing = 0;
  #again = 0;
  #refreshed = 0;
  #page = null;
  #isTurning = false;

  constructor({ remove, isLeftOut, shown, failed }) {
    Object.assign(this, { remove, isLeftOut, shown, failed, view: new View() });
    window.addEventListener("popstate", () => this.#follow());
    byId("search").oninput = () => this.#search();
    byId("find").onsubmit = (event) => {
      event.preventDefault();
      this.#search(0);
    };
    byId("flat").onchange = () => this.go({ isFlat: byId("flat").checked });
    byId("previous").onclick = () => this.#turn(-1);
    byId("next").onclick = () => this.#turn(1);
    byId("files").onclick = (event) => this.#click(event);
  }

  /** Show what the address says, of what this caller may see and do. */
  async open({ prefix, mayDelete, mayShare }) {
    this.#home = prefix;
    this.#isOpen = true;
    this.#rights = { mayDelete, mayShare };
    this.#entries.clear();
    await this.#follow();
  }

  /** Show nothing any more. */
  close() {
    this.#isOpen = false;
    this.#asked += 1;
    clearTimeout(this.#again);
    this.#again = 0;
    this.#page = null;
    this.#entries.clear();
    for (const body of byId("table").querySelectorAll("tbody")) body.remove();
  }

  /** Another view, to which the way back leads. */
  async go(changes, trail = []) {
    this.view = this.view.with(changes);
    history.pushState({ trail }, "", this.view.address);
    await this.#show();
  }

  /** The same view once more, soon: however often it is called, not more often than once a second. */
  refresh() {
    if (this.#again || !this.#isOpen) return;
    const pause = Math.max(0, this.#refreshed + AGAIN_MS - Date.now());
    this.#again = setTimeout(() => {
      this.#again = 0;
      this.#refreshed = Date.now();
      this.#show({ isNews: true });
    }, pause);
  }

  /** This one is deleted. What follows on the next page moves up. */
  forget({ name }) {
    if (this.#page) this.#page.files = this.#page.files.filter((file) => file.name !== name);
    this.refresh();
  }

  /** Draw anew what is known. */
  draw() {
    if (this.#page) this.#draw(this.#page);
  }

  // ------------------------------------------------------------------------------------------------------ what is shown

  async #follow() {
    this.view = View.read(location.search).within(this.#home);
    byId("search").value = this.view.search;
    await this.#show();
  }

  async #show({ isNews = false } = {}) {
    const asked = (this.#asked += 1);
    byId("table").ariaBusy = "true";
    try {
      const page = await ask(this.view.request);
      if (asked !== this.#asked) return;
      if (this.view.cursor && !page.files.length && !page.folders.length) return await this.#startOver();
      this.#page = page;
      if (!isNews) this.#entries.clear();
      this.#draw(page, { isNews });
      this.shown(this.view);
    } catch (error) {
      if (asked === this.#asked) this.#fail(error);
    } finally {
      if (asked === this.#asked) byId("table").ariaBusy = "false";
    }
  }

  #fail(error) {
    return error.code === "bad_message" && this.view.cursor ? this.#startOver() : this.failed(error);
  }

  // The page is not there any more, or never was: what it was of is.
  #startOver() {
    this.view = this.view.with({});
    history.replaceState({ trail: [] }, "", this.view.address);
    return this.#show();
  }

  #draw(page, { isNews = false } = {}) {
    const files = page.files.filter((file) => !this.isLeftOut(file.name));
    const bodies = [
      ...page.folders.map((folder) => this.#entry(folder, () => folderEntry(folder, this.view.with({ folder })))),
      ...files.map((file) => this.#entry(JSON.stringify(file), () => this.#made(file, isNews))),
    ];
    reconcile(byId("table"), [byId("columns"), ...bodies]);
    for (const [key, body] of this.#entries) if (!body.isConnected) this.#entries.delete(key);
    show(bodies.length > 0, byId("table"));
    this.#drawControls(page);
    this.#drawEmpty(bodies.length === 0);
  }

  #entry(key, make) {
    if (!this.#entries.has(key)) this.#entries.set(key, make());
    return this.#entries.get(key);
  }

  #made(file, isNews) {
    const { mayDelete, mayShare } = this.#rights;
    const remove = mayDelete ? (_, event) => this.#remove(file, { byKey: event.detail === 0 }) : null;
    const body = fileEntry(file, { below: this.view.folder, remove, mayShare });
    body.classList.toggle("new", isNews);
    return body;
  }

  #drawControls(page) {
    const { sort, search, isFlat } = this.view;
    for (const button of byId("columns").querySelectorAll("button")) {
      const order = sort === button.value ? "ascending" : sort === `-${button.value}` ? "descending" : "none";
      button.closest("th").ariaSort = order;
      button.querySelector("svg").replaceWith(icon(order === "ascending" ? "up" : "down"));
    }
    if (document.activeElement !== byId("search")) byId("search").value = search;
    byId("flat").checked = isFlat;
    reconcile(byId("way"), this.#steps());
    document.title = [lastSegment(this.view.folder).slice(0, -1), "Towline"].filter(Boolean).join(" – ");
    const { length } = this.#trail;
    show(length > 0 || page.next !== null || this.view.cursor !== null, byId("pages"));
    byId("previous").disabled = this.view.cursor === null;
    byId("next").disabled = page.next === null;
    byId("place").textContent = this.view.cursor && !length ? "A later page" : `Page ${length + 1}`;
  }

  #steps() {
    const steps = this.view.way.filter((folder) => folder.length > this.#home.length);
    return [this.#home, ...steps].map((folder, depth) => {
      const link = element("a", { href: this.view.with({ folder, search: "" }).address });
      link.textContent = depth ? lastSegment(folder).slice(0, -1) : "Files";
      if (folder === this.view.folder) link.ariaCurrent = "page";
      const step = element("li", {}, link);
      step.dataset.folder = folder;
      return step;
    });
  }

  #drawEmpty(isEmpty) {
    const { search, folder } = this.view;
    const isHome = folder === this.#home;
    show(isEmpty, byId("empty"));
    show(isEmpty && !search && isHome, byId("nothing"));
    show(isEmpty && !search && !isHome, byId("no-folder"));
    show(isEmpty && Boolean(search), byId("not-found"));
    if (search) byId("not-found-text").textContent = `No name ${isHome ? "" : `in ${folder} `}has “${search}” in it.`;
  }

  // --------------------------------------------------------------------------------------------------------- what people do

  get #trail() {
    return history.state?.trail ?? [];
  }

  // Back leads over the cursors of the pages before; who has come by an address begins at the first.
  async #turn(direction) {
    if (this.#isTurning) return; // what comes after the next page, only that page tells
    this.#isTurning = true;
    const trail = this.#trail;
    if (direction > 0) await this.go({ cursor: this.#page.next }, [...trail, this.view.cursor]);
    else await this.go({ cursor: trail.at(-1) ?? null }, trail.slice(0, -1));
    this.#isTurning = false;
    announce(byId("place").textContent);
    byId("files").scrollIntoView();
    byId("files-title").focus({ preventScroll: true });
  }

  #search(milliseconds = TYPING_MS) {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(async () => {
      const search = byId("search").value.trim();
      if (search === this.view.search) return;
      const isNext = Boolean(search && this.view.search); // a letter more is no step of the way back
      this.view = this.view.with({ search });
      history[isNext ? "replaceState" : "pushState"]({ trail: [] }, "", this.view.address);
      await this.#show();
      announce(this.#found());
    }, milliseconds);
  }

  #found() {
    const count = this.#page?.files.length ?? 0;
    return `${count}${this.#page?.next ? " and more" : ""} ${count === 1 ? "file" : "files"}`;
  }

  #click(event) {
    const column = event.target.closest("#columns button");
    if (column) {
      this.go({ sort: sortAfter(this.view.sort, column.value) });
      return;
    }
    const leading = event.target.closest("a")?.closest("[data-folder]");
    if (!leading || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault(); // uploads go on in the page that there is
    const folder = leading.dataset.folder || this.#home;
    byId("search").value = "";
    this.go({ folder, search: "" }).then(() => {
      announce(folder || "All files");
      byId("files-title").focus({ preventScroll: true });
    });
  }

  // Whoever works by keyboard stands on the way back, and afterwards where the file was.
  #remove(file, { byKey }) {
    const bodies = [...byId("table").tBodies];
    const place = bodies.findIndex((body) => body === this.#entries.get(JSON.stringify(file)));
    const near = bodies[place + 1] ?? bodies[place - 1];
    const over = (isUndone) => {
      const row = isUndone ? this.#entries.get(JSON.stringify(file)) : near?.isConnected && near;
      (row ? row.querySelector("a") : byId("files-title")).focus();
    };
    const undo = this.remove(file, over);
    if (byKey) undo.focus();
  }
}
