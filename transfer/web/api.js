// Towline over HTTP. A refusal is a Refused, with the server's own sentence.

import { Refused } from "./connection.js";

/** Ask for `path`; with `keepalive` also while the page is left. Rejects with Refused; with TypeError when no answer came. */
export async function ask(path, { method = "GET", body, headers = {}, credentials = "same-origin", keepalive = false } = {}) {
  const json = body === undefined ? {} : { body: JSON.stringify(body) };
  const answer = await fetch(path, { method, headers, credentials, keepalive, cache: "no-store", ...json });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const unreadable = { code: "internal", message: `the server answered with status ${answer.status}` };
  throw new Refused(await answer.json().catch(() => unreadable));
}

/** Why something went wrong, as a sentence. */
export function reason(error) {
  if (error instanceof TypeError) return "the server could not be reached";
  return error.message;
}

/** Whether the caller has to say who they are, once more. */
export function wantsLogin(error) {
  return error instanceof Refused && error.code === "unauthorized";
}
