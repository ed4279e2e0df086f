// What to do about a refusal: the server says what was wrong, this what may help.

import { reason } from "./api.js";

const ADVICE = {
  busy: "Try again in a moment.",
  forbidden: "Log in with another token, or ask who runs this server for one that may.",
  insufficient_storage: "Delete what is not needed any more, or ask who runs this server for room.",
  invalid_name: "Rename it, and choose it again.",
  internal: "Try again. If it stays, the server's log says more.",
  not_found: "Somebody else may have deleted or renamed it.",
  quota_exceeded: "Delete what is not needed any more, or ask who runs this server for room.",
  shutting_down: "Try again in a moment: it starts anew.",
  storage_failure: "Try again. What was acknowledged is safe.",
  timeout: "Try again.",
  too_many: "Wait a moment, and try again.",
  unauthorized: "Is all of it there? Else ask who runs this server for another one.",
};

/** Why something went wrong, and what to do next: sentences. */
export function explained(error) {
  const advice = error instanceof TypeError ? "Is the network there? Then try again." : ADVICE[error.code];
  return [sentence(reason(error)), advice].filter(Boolean).join(" ");
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
