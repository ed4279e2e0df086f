// The page at `/`: who one is, the files, what is arriving, and a way to add some.

import { explained } from "./advice.js";
import { ask, reason, wantsLogin } from "./api.js";
import { Arriving } from "./arriving.js";
import { Deletions } from "./deletions.js";
import { byId, show } from "./elements.js";
import { Files } from "./files.js";
import { Live } from "./live.js";
import { Uploads } from "./uploads.js";
import { View } from "./view.js";
import { timeInWords } from "./wording.js";

const AGAIN_MS = 5_000;
const uploads = new Uploads({
  done: () => files.refresh(),
  refused: (error) => askForToken(error),
  makeRoom: (name) => deletions.makeRoom(name),
});
const deletions = new Deletions({
  changed: () => files.draw(),
  gone: (file) => files.forget(file),
  failed: (error) => wantsLogin(error) && askForToken(error),
});
const files = new Files({
  remove: (file, over) => deletions.begin(file, over),
  isLeftOut: (name) => deletions.has(name),
  shown: (view) => {
    uploads.folder = view.folder;
    recover();
  },
  failed: complain,
});
const arriving = new Arriving((name) => uploads.isSending?.(name) ?? false);
const live = new Live({ heard: hear, refused: checkLogin });
let subject = null; // who is shown
let trying = 0; // a timer, while something fails that may pass

/** Ask who this is, and show what they may do. */
async function enter() {
  try {
    await greet(await identity());
  } catch (error) {
    if (wantsLogin(error)) askForToken(null);
    else complain(error);
  }
}

/** The server refuses what it has given before: the login may be over, or another one's. */
async function checkLogin() {
  try {
    const who = await ask("/whoami");
    if (who.subject !== subject) await greet(who);
  } catch (error) {
    if (wantsLogin(error)) askForToken(error);
    else console.info(`who this is, is not known just now: ${reason(error)}`);
  }
}

/** Who this is. A cookie that is no good, of a server before on this address perhaps, is forgotten first. */
async function identity() {
  try {
    return await ask("/whoami");
  } catch (error) {
    if (!wantsLogin(error)) throw error;
    await ask("/logout", { method: "POST" });
    return await ask("/whoami");
  }
}

async function greet(who) {
  subject = who.subject;
  const isKnown = who.kind !== "anonymous";
  byId("who").textContent = isKnown ? `You are ${who.subject}` : "This server asks nobody for a token";
  if (who.expires) byId("who").append(`, until ${timeInWords(who.expires)}`);
  show(false, byId("entrance"));
  show(true, byId("who"));
  show(isKnown, byId("leave"));
  uploads.folder = View.read(location.search).within(who.prefix).folder;
  show(who.scopes.includes("upload"), byId("uploads"), byId("nothing-yet"));
  show(who.scopes.includes("read"), byId("files"));
  uploads.goOn(who);
  if (["read", "upload", "admin"].some((scope) => who.scopes.includes(scope))) live.open();
  const [mayDelete, mayShare] = [who.scopes.includes("delete"), isKnown]; // who is nobody needs no other link
  if (who.scopes.includes("read")) await files.open({ prefix: who.prefix, mayDelete, mayShare });
  else recover();
}

/** Show the way in; `ended` is why the one before is over, null for somebody who has just come. */
function askForToken(ended) {
  live.close();
  arriving.clear();
  files.close();
  recover();
  show(false, byId("who"), byId("leave"), byId("files"));
  show(true, byId("entrance"));
  byId("refusal").textContent = ended ? `Log in again: ${reason(ended)}` : "";
  byId("token").focus();
}

function complain(error) {
  if (wantsLogin(error)) {
    askForToken(error);
    return;
  }
  byId("trouble-text").textContent = explained(error);
  show(true, byId("trouble"));
  clearTimeout(trying);
  if (error instanceof TypeError || error.retryable) trying = setTimeout(enter, AGAIN_MS);
}

function recover() {
  clearTimeout(trying);
  show(false, byId("trouble"));
}

byId("again").onclick = enter;
window.addEventListener("online", () => byId("trouble").hidden || enter());
window.addEventListener("pageshow", ({ persisted }) => persisted && enter());

// ---------------------------------------------------------------------------------------------------------------- live

/** Take in what happened on the server. */
function hear(event) {
  if (event.type === "upload") arriving.hear(event);
  if (event.type === "reset") arriving.clear();
  if (event.event === "completed" && event.file) deletions.spare(event.file.name);
  const isOfFiles = event.type === "file" || event.type === "reset" || event.event === "completed";
  if (isOfFiles) files.refresh();
}

// -------------------------------------------------------------------------------------------------- logging in and out

byId("login").onsubmit = async (event) => {
  event.preventDefault();
  const field = byId("token");
  try {
    await ask("/login", { method: "POST", body: { token: field.value } });
    field.value = "";
    await enter();
  } catch (error) {
    byId("refusal").textContent = explained(error);
    field.select();
  }
};

byId("leave").onclick = async () => {
  try {
    await deletions.flush(); // afterwards nobody may
    await ask("/logout", { method: "POST" });
    location.reload(); // nothing of what was shown stays
  } catch (error) {
    complain(error);
  }
};

await enter();
