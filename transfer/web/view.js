// What the page shows of the files, as its address says it: a reload, a bookmark and the way back lead to the same. No
// page is needed here.

export const PAGE_FILES = 100;
const NEWEST_FIRST = "-created";

/** `folder` is "" or ends in `/`; `isFlat`: whatever is below it in one list; `sort` and `cursor` are the protocol's. */
export class View {
  constructor({ folder = "", search = "", sort = NEWEST_FIRST, isFlat = false, cursor = null } = {}) {
    Object.assign(this, { folder, search, sort, isFlat, cursor });
  }

  /** The view of an address, of which this is the part from `?` on. Whatever stands there, there is one. */
  static read(query) {
    const said = new URLSearchParams(query);
    const folder = said.get("in") ?? "";
    return new View({
      folder: folder && !folder.endsWith("/") ? `${folder}/` : folder,
      search: said.get("q") ?? "",
      sort: /^-?(name|size|created|modified)$/.test(said.get("sort")) ? said.get("sort") : NEWEST_FIRST,
      isFlat: said.has("all"),
      cursor: said.get("cursor") || null,
    });
  }

  /** This view but for these changes. Its first page, unless they say which. */
  with(changes) {
    return new View({ ...this, cursor: null, ...changes });
  }

  /** The same for somebody who sees nothing above this folder. */
  within(home) {
    return this.folder.startsWith(home) ? this : this.with({ folder: home });
  }

  /** Whether files stand in their folders. A search looks through all that are below this one. */
  get isByFolder() {
    return !this.isFlat && !this.search;
  }

  get address() {
    const said = new URLSearchParams();
    if (this.folder) said.set("in", this.folder);
    if (this.search) said.set("q", this.search);
    if (this.sort !== NEWEST_FIRST) said.set("sort", this.sort);
    if (this.isFlat) said.set("all", "");
    if (this.cursor) said.set("cursor", this.cursor);
    return `/?${said}`.replace(/\?$/, "");
  }

  /** What the server is asked for. */
  get request() {
    const asked = new URLSearchParams({ prefix: this.folder, q: this.search, sort: this.sort, limit: PAGE_FILES });
    if (this.isByFolder) asked.set("delimiter", "/");
    if (this.cursor) asked.set("cursor", this.cursor);
    return `/files?${asked}`;
  }

  /** The folders on the way to this one, from the top: of `a/b/` it is `a/` and `a/b/`. */
  get way() {
    const segments = this.folder.split("/").slice(0, -1);
    return segments.map((_, depth) => `${segments.slice(0, depth + 1).join("/")}/`);
  }
}

/** The order that a click on the head of a column asks for: names and so on from the first, the rest from the largest. */
export function sortAfter(sort, column) {
  if (sort === column) return `-${column}`;
  if (sort === `-${column}`) return column;
  return column === "name" ? column : `-${column}`;
}

/** The last segment of a name, or of a folder with its `/`. */
export function lastSegment(name) {
  return name.slice(name.lastIndexOf("/", name.length - 2) + 1);
}
