// The page of a request link: somebody without a token sends files. The secret of the link, in this page's own address,
// is what they show; nothing else of it leaves the page, and no other link of the page leads anywhere.

import { explained } from "./advice.js";
import { ask, reason, wantsLogin } from "./api.js";
import { byId, show } from "./elements.js";
import { Uploads } from "./uploads.js";
import { timeInWords } from "./wording.js";

class WrongLink extends Error {}

const token = location.pathname.split("/").pop();
const visitor = rememberedVisitor(token.split("_")[0]);

/** Text by which the server knows this browser again, so that an upload goes on after the page was closed. */
function rememberedVisitor(link) {
  const key = `towline visitor of ${link}`;
  const fresh = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  try {
    const kept = localStorage.getItem(key) ?? fresh;
    localStorage.setItem(key, kept);
    return kept;
  } catch {
    return fresh; // a browser that keeps nothing: uploads go on while the page is open
  }
}

function end(error) {
  const isOver = wantsLogin(error) || error instanceof WrongLink;
  byId("trouble").textContent = isOver
    ? `This link does not work, or no longer: ${reason(error)}. Ask whoever gave it to you for another one.`
    : explained(error);
  show(true, byId("trouble"));
  show(false, byId("welcome"), byId("uploads"));
}

async function enter() {
  const headers = { authorization: `Bearer ${token}`, "towline-visitor": visitor };
  const who = await ask("/whoami", { headers, credentials: "omit" });
  if (who.kind !== "request") throw new WrongLink("it is not one for sending files");
  const uploads = new Uploads({ credentials: { token, visitor }, refused: end });
  if (who.expires) byId("until").textContent = `The link is good until ${timeInWords(who.expires)}.`;
  show(true, byId("welcome"), byId("uploads"));
  await uploads.goOn(who);
}

try {
  await enter();
} catch (error) {
  end(error);
}
