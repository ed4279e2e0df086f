// The page at `/`: who one is, the files, and a way to add some.

import { ask, reason, wantsLogin } from "./api.js";
import { byId, element, show } from "./elements.js";
import { Uploads } from "./uploads.js";
import { sizeInWords, timeInWords } from "./wording.js";

const PAGE = 100;
const uploads = new Uploads({ done: () => list(), refused: (error) => askForToken(error) });
let cursor = null; // of the next page of files
let listing = 0; // counts, so that an answer that comes late is not shown

/** Ask who this is, and show what they may do. */
async function enter() {
  try {
    await greet(await identity());
  } catch (error) {
    if (wantsLogin(error)) askForToken(null);
    else complain(error);
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
  const isKnown = who.kind !== "anonymous";
  byId("who").textContent = isKnown ? `You are ${who.subject}` : "This server asks nobody for a token";
  if (who.expires) byId("who").append(`, until ${timeInWords(who.expires)}`);
  show(false, byId("entrance"), byId("trouble"));
  show(true, byId("who"));
  show(isKnown, byId("leave"));
  show(who.scopes.includes("upload"), byId("uploads"));
  show(who.scopes.includes("read"), byId("files"));
  uploads.goOn();
  if (who.scopes.includes("read")) await list();
}

/** Show the way in; `ended` is why the one before is over, null for somebody who has just come. */
function askForToken(ended) {
  listing += 1;
  show(false, byId("who"), byId("leave"), byId("files"), byId("trouble"));
  show(true, byId("entrance"));
  byId("rows").replaceChildren();
  byId("refusal").textContent = ended ? `Log in again: ${reason(ended)}` : "";
  byId("token").focus();
}

function complain(error) {
  if (wantsLogin(error)) {
    askForToken(error);
    return;
  }
  byId("trouble").textContent = reason(error);
  show(true, byId("trouble"));
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
    byId("refusal").textContent = reason(error);
    field.select();
  }
};

byId("leave").onclick = async () => {
  try {
    await ask("/logout", { method: "POST" });
    location.reload(); // nothing of what was shown stays
  } catch (error) {
    complain(error);
  }
};

// --------------------------------------------------------------------------------------------------------------- files

/** Show the newest files, from the first one on. */
async function list() {
  cursor = null;
  await more();
}

async function more() {
  const from = cursor;
  const asked = (listing += 1);
  const query = new URLSearchParams({ sort: "-created", limit: PAGE, ...(from && { cursor: from }) });
  try {
    const page = await ask(`/files?${query}`);
    if (asked !== listing) return;
    const rows = page.files.map(row);
    if (from) byId("rows").append(...rows);
    else byId("rows").replaceChildren(...rows);
    cursor = page.next;
    show(cursor !== null, byId("more"));
    show(byId("rows").childElementCount === 0, byId("nothing"));
    show(byId("rows").childElementCount > 0, byId("table"));
  } catch (error) {
    if (asked === listing) complain(error);
  }
}

function row(file) {
  const link = element("a", { href: file.url, download: "" }, file.name);
  const time = element("time", { dateTime: file.created }, timeInWords(file.created));
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, link),
    element("td", {}, sizeInWords(file.size)),
    element("td", {}, time),
  );
}

byId("more").onclick = more;

await enter();
