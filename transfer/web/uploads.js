// The part of a page that takes files, and shows how it stands with each until it has arrived.

import { reason, wantsLogin } from "./api.js";
import { Queue } from "./client.js";
import { listenForDrops } from "./drops.js";
import { byId } from "./elements.js";
import { forgetHandle, forgetOldHandles, handlesOf, keepHandle } from "./handles.js";
import { chosenIn, fileOf, handlePicker } from "./picking.js";
import { Rows } from "./rows.js";
import { newNameOf } from "./standing.js";
import { Telling } from "./telling.js";
import { controls } from "./upload-controls.js";
import { sizeInWords } from "./wording.js";

const TAKING_BACK_MS = 8_000;
const TOGETHER_MS = 400;
const LOOK_AGAIN_MS = 3_000;
const FOR_ALL = { "Pause all": ["Pause"], "Resume all": ["Resume", "Go on"], "Try all again": ["Try again"] };

/** Fills `#uploads` of a page. `done()` hears that files have arrived, `refused(error)` of a lacking token;
 * `makeRoom(name)` returns what is to be waited for before a file of that name is sent, or null. What is chosen goes below `folder`, which is empty or ends in `/`. */
export class Uploads {
  folder = "";
  #queue;
  #controls = controls(byId("uploads"));
  #rows;
  #telling = new Telling();
  #arrivals = null;
  #subject = null; // whose rows these are
  #seen = new Map(); // from the id of an unfinished upload to when something last came of it, and whether more comes
  #looking = null; // a timer
  #choosingFor = null; // a row that lacks its file

  constructor({ credentials = null, done = () => {}, refused = () => {}, makeRoom = () => null }) {
    Object.assign(this, { done, refused, makeRoom });
    this.#queue = new Queue(credentials ?? {});
    this.#rows = new Rows(this.#controls, {
      act: (row, label) => this.#act(row, label),
      actOnAll: (label) => this.#actOnAll(label),
      progressed: (share, secondsLeft) => this.#telling.progressed(share, secondsLeft),
    });
    this.#listen();
    forgetOldHandles();
  }

  /** The caller is known now: take up what was refused for want of a token, and show what is unfinished. What another
   * caller has begun here does not go on as this one's. */
  async goOn({ subject }) {
    if (this.#subject !== subject) this.#leaveAll();
    this.#subject = subject;
    for (const row of this.#rows.all) {
      if (!row.wantsLogin) continue;
      row.wantsLogin = false;
      if (!row.isLeaving) row.task.resume();
      this.#rows.look(row);
    }
    await this.#showUnfinished();
  }

  #leaveAll() {
    for (const row of this.#rows.all) {
      clearTimeout(row.timer);
      row.task.leave();
      this.#telling.changed(row.task);
      this.#rows.remove(row);
    }
    this.#queue.reconnect(); // who was shown on a connection stays who is calling
  }

  /** Whether this page is sending a file of this name. */
  isSending(name) {
    return this.#rows.named(name).some(({ task }) => task.state === "queued" || task.isActive);
  }

  // ------------------------------------------------------------------------------------------------------ taking files

  #listen() {
    const { choose, chooseFolder, pick, pickFolder, pickAgain } = this.#controls;
    const isOpen = () => !byId("uploads").hidden;
    this.#offer(choose, pick, handlePicker(false));
    this.#offer(chooseFolder, pickFolder, handlePicker(true));
    pickAgain.oncancel = () => (this.#choosingFor = null);
    pickAgain.onchange = () => this.#choseAgain(chosenIn(pickAgain)[0]);
    listenForDrops({ isOpen, take: (found) => this.#take(found) });
    window.addEventListener("offline", () => this.#queue.reconnect());
    document.addEventListener("visibilitychange", () => {
      if (isOpen()) this.#showUnfinished();
    });
    window.addEventListener("beforeunload", (event) => {
      if (this.#rows.all.some((row) => row.task.isActive)) event.preventDefault();
    });
  }

  #offer(button, input, picker) {
    button.onclick = () => (picker ? this.#take(picker()) : input.click());
    input.onchange = () => this.#take(chosenIn(input));
  }

  async #take(found) {
    try {
      await this.#takeAll(found);
    } catch (error) {
      this.#addUnreadable("What was chosen", error);
    }
  }

  async #takeAll(found) {
    const folder = this.folder;
    for await (const { name, file, handle, error } of found) {
      const whole = folder + name;
      const room = error ? null : this.makeRoom(whole);
      if (room) await room; // an `await` for nothing is a turn for each of many files
      if (error) this.#addUnreadable(whole, error);
      else this.#add(whole, file, handle);
    }
  }

  #addUnreadable(name, error) {
    const task = unreadable(name, error);
    this.#rows.add(task);
    this.#telling.failed(name, reason(task.error));
  }

  /** Send a file: it goes on with what is there of its name, unless that is being sent. */
  #add(name, file, handle) {
    for (const row of this.#rows.named(name)) if (row.task.isUnreadable) this.#rows.remove(row);
    const before = this.#rows.named(name);
    const underWay = before.filter(({ task }) => task.state === "queued" || task.isActive);
    if (underWay.some(({ task }) => isSame(task.file, file))) return;
    const begun = before.find((row) => !underWay.includes(row) && !row.isOver && !row.isLeaving);
    if (begun) this.#goOnWith(begun, file, { handle });
    else this.#rows.add(this.#queue.add(file, { name, resume: !underWay.length, changed: this.#hear }), handle);
  }

  #goOnWith(row, file, { handle = null, mustMatch = false } = {}) {
    row.handle = handle ?? row.handle;
    row.trouble = "";
    row.task.resume(file, { mustMatch });
    this.#keep(row);
  }

  // ------------------------------------------------------------------------------------------------ what is unfinished

  async #showUnfinished() {
    clearTimeout(this.#looking);
    if (document.hidden) return;
    try {
      const unfinished = await this.#queue.unfinished();
      this.#match(unfinished, await handlesOf(unfinished.map((upload) => upload.upload_id)));
    } catch (error) {
      if (wantsLogin(error)) this.refused(error);
      else console.info(`what is unfinished is not known: ${reason(error)}`);
    }
  }

  /** Have a row for each of these, and none for what is gone, or complete, or another caller's. */
  #match(unfinished, handles) {
    this.#seen = new Map(unfinished.map((upload) => [upload.upload_id, this.#seenAgain(upload)]));
    const known = new Map(this.#rows.all.filter(({ isOver }) => !isOver).map((row) => [row.task.uploadId, row]));
    for (const [uploadId, row] of known) if (row.task.state === "lacking" && this.#isElsewhere(row)) this.#rows.remove(row);
    for (const { upload_id: uploadId, name, size = null, offset } of unfinished) {
      const row = known.get(uploadId);
      if (row?.task.state === "lacking") row.task.durable = offset;
      if (row) this.#rows.look(row);
      else if (!this.isSending(name) && !this.#seen.get(uploadId).moves) {
        const task = this.#queue.add(null, { name, size, durable: offset, uploadId, changed: this.#hear });
        this.#rows.add(task, handles.get(uploadId));
      }
    }
    const isOpen = ({ upload_id: id, name }) => !this.isSending(name) && this.#seen.get(id).isNews;
    if (unfinished.some(isOpen)) this.#looking = setTimeout(() => this.#showUnfinished(), LOOK_AGAIN_MS);
  }

  #seenAgain({ upload_id: id, active }) {
    const before = this.#seen.get(id);
    const isNews = before?.active !== active;
    return { active, isNews, moves: before && isNews ? before.moves + 1 : 0 };
  }

  /** Whether it is gone, or somebody is sending it. One move does not tell: it may have been this page, before it was
   * loaded anew. */
  #isElsewhere(row) {
    const seen = this.#seen.get(row.task.uploadId);
    return !seen || (seen.moves > 1 && row !== this.#choosingFor);
  }

  // --------------------------------------------------------------------------------------------------- what is pressed

  async #act(row, label) {
    if (label === "Pause") row.task.pause();
    else if (label === "Try again" && row.handle) await this.#goOnByHandle(row); // what was read may be another file now
    else if (label === "Resume" || label === "Try again" || label === "Take it back") row.task.resume();
    else if (label === "Go on") await this.#goOnByHandle(row);
    else if (label === "Choose the file") this.#chooseAgain(row);
    else if (label === "Undo") this.#takeBack(row);
    else if (label === "Cancel" && row.task.durable > 0) this.#cancel(row);
    else await this.#drop(row);
  }

  async #actOnAll(label) {
    for (const row of this.#rows.all) {
      const { main, other } = row.standing(performance.now());
      if (label === "Remove finished" && row.isOver) this.#drop(row);
      else if (label === "Cancel all" && isToBeCancelled(row)) this.#act(row, other);
      else if (row.handle && FOR_ALL[label]?.includes(main)) await this.#act(row, main); // the browser may ask
      else if (FOR_ALL[label]?.includes(main)) this.#act(row, main);
    }
  }

  async #goOnByHandle(row) {
    try {
      this.#goOnWith(row, await fileOf(row.handle));
    } catch (error) {
      row.handle = null;
      row.task.resume();
      row.trouble = `The file cannot be opened where it was (${reason(error)}): choose it again`;
      this.#rows.look(row);
    }
  }

  #chooseAgain(row) {
    this.#choosingFor = row;
    this.#controls.pickAgain.click();
  }

  #choseAgain(found) {
    const row = this.#choosingFor;
    this.#choosingFor = null;
    if (!found || row.task.state !== "lacking") return;
    if (found.file.size === row.task.size) {
      this.#goOnWith(row, found.file, { mustMatch: true });
      return;
    }
    const [chosen, begun] = [found.file.size, row.task.size].map(sizeInWords);
    row.trouble = `The file that you chose has ${chosen}, and the one that was begun ${begun}: choose that one`;
    this.#rows.look(row);
  }

  /** For a while it can be taken back: hours may have gone into it. */
  #cancel(row) {
    row.task.pause();
    row.isLeaving = true;
    row.timer = setTimeout(() => this.#drop(row), TAKING_BACK_MS);
    this.#rows.look(row);
  }

  #takeBack(row) {
    clearTimeout(row.timer);
    row.isLeaving = false;
    if (!row.wantsLogin) row.task.resume();
    this.#rows.look(row);
  }

  async #drop(row) {
    clearTimeout(row.timer);
    if (row.task.isOnItsWay) {
      row.isDropped = true;
      row.task.cancel();
      return;
    }
    this.#rows.remove(row);
    if (row.isOver || row.task.error?.code === "superseded") {
      row.task.leave(); // what somebody else sends is theirs
      return;
    }
    row.task.cancel();
    this.#telling.changed(row.task);
    this.#forget(row);
    try {
      await row.task.drop();
    } catch (error) {
      this.#telling.failed(row.task.name, reason(error));
      await this.#showUnfinished();
    }
  }

  // ------------------------------------------------------------------------------------------------- what has happened

  #hear = (task) => {
    const row = this.#rows.of(task);
    if (!row) return;
    const isNews = task.state !== row.heard;
    row.heard = task.state;
    if (isNews) this.#telling.changed(task);
    if (isNews && task.state === "done") this.#arrived(row);
    if (isNews && task.state === "failed") this.#failed(row);
    if (row.isDropped && task.state === "cancelled" && !task.isOnItsWay) this.#rows.remove(row);
    if (row.known !== task.uploadId) this.#found(row);
    if (row.handle && row.kept !== task.uploadId) this.#keep(row);
    this.#rows.look(row);
  };

  /** It turns out which upload it goes on with: that one has a row now. */
  #found(row) {
    const { uploadId } = row.task;
    row.known = uploadId;
    const twin = this.#rows.named(row.task.name).find((other) => other !== row && other.task.uploadId === uploadId);
    if (uploadId === null || twin?.task.state !== "lacking") return;
    row.handle ??= twin.handle;
    this.#rows.remove(twin);
  }

  #arrived(row) {
    this.#arrivals ??= setTimeout(() => this.#tellOfArrivals(), TOGETHER_MS);
    this.#telling.arrived(row.task.name, newNameOf(row.task));
    this.#forget(row);
  }

  #failed(row) {
    const { task } = row;
    const { error } = task;
    this.#telling.failed(task.name, reason(error));
    if (wantsLogin(error)) this.#waitForLogin(row, error);
    if (error.code !== "other_file" || task.uploadId === null) return;
    Object.assign(row, { handle: null, trouble: error.message });
    task.lack(error);
  }

  /** Nothing more is sent until the caller is known. */
  #waitForLogin(refused, error) {
    for (const row of this.#rows.all) {
      if (row !== refused && row.task.state !== "queued" && !row.task.isActive) continue;
      row.task.pause();
      row.wantsLogin = true;
      this.#rows.look(row);
    }
    this.refused(error);
  }

  #tellOfArrivals() {
    this.#arrivals = null;
    this.done();
  }

  #keep(row) {
    row.kept = row.task.uploadId;
    if (row.kept !== null && row.handle) keepHandle(row.kept, row.handle);
  }

  #forget(row) {
    if (row.kept) forgetHandle(row.kept);
  }
}

/** What another page or program has begun is cancelled by itself alone. */
function isToBeCancelled({ task, isOver, isLeaving }) {
  return !isOver && !isLeaving && task.state !== "lacking";
}

function isSame(one, other) {
  return one.size === other.size && one.lastModified === other.lastModified;
}

/** In place of a task, for what cannot even be read. */
function unreadable(name, error) {
  const failure = new Error(`it cannot be read: ${error.message}`);
  const nothing = { pause() {}, resume() {}, leave() {}, cancel() {}, async drop() {} };
  return { isUnreadable: true, name, size: 0, durable: 0, uploadId: null, file: null, state: "failed", error: failure, ...nothing };
}
