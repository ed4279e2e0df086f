// How it stands with a file that is to be sent, in words, and what a person can do about it.

import { explained } from "./advice.js";
import { reason } from "./api.js";
import { Broken } from "./connection.js";
import { paceInWords } from "./pace.js";
import { lastSegment } from "./view.js";
import { sizeInWords } from "./wording.js";

const STILL_MS = 10_000;

/**
 * `{ phase, text, main, other }`: a class for its looks, the words, and the labels of its two buttons, each null where
 * there is nothing to be done. `now` is of the clock of the row's pace.
 */
export function standingOf(row, now) {
  if (row.isLeaving) return { phase: "paused", text: "cancelled", main: "Undo", other: "Remove" };
  if (row.wantsLogin) return { phase: "waiting", text: "waits until you have logged in", main: null, other: leave(row.task) };
  return STANDINGS[row.task.state](row, now);
}

const GOING = { phase: "going", main: "Pause", other: "Cancel" };
const STANDINGS = {
  queued: () => ({ ...GOING, phase: "queued", text: "waiting for its turn" }),
  connecting: () => ({ ...GOING, text: "connecting…" }),
  checking: ({ task }) => ({ ...GOING, text: `comparing with what is there: ${share(task.checked, task.durable)}…` }),
  sending: (row, now) => ({ ...GOING, text: sending(row, now) }),
  finishing: () => ({ ...GOING, text: "checking the whole file…" }),
  waiting: ({ task }) => ({ ...GOING, phase: "waiting", text: waiting(task.error) }),
  paused: ({ task }) => ({ phase: "paused", text: `paused at ${progress(task)}`, main: "Resume", other: "Cancel" }),
  lacking: (row) => ({ phase: "paused", text: lacking(row), main: wayOn(row), other: "Cancel" }),
  failed: ({ task }) => ({ phase: "failed", text: failure(task.error), main: again(task), other: leave(task) }),
  done: (row) => ({ phase: "done", text: done(row), main: null, other: "Remove" }),
  cancelled: () => ({ phase: "paused", text: "cancelled, unless it has arrived already", main: null, other: null }),
};

/** The last segment of the name that the server has given a file, where that is not the one that it was sent by; else null. */
export function newNameOf({ name, entry }) {
  return entry.name === name.normalize("NFC") ? null : lastSegment(entry.name);
}

function done({ task, isDropped }) {
  const newName = newNameOf(task);
  const whatever = isDropped ? ": it arrived before it could be cancelled" : "";
  return `done, ${newName ? `as ${newName}, ` : ""}${sizeInWords(task.size)}${whatever}`;
}

function sending({ task, pace }, now) {
  const since = pace.stillSince();
  if (since !== null && now - since > STILL_MS) return "waiting for the network…";
  return `${progress(task)}${paceInWords(pace.speed(now), task.size - task.durable, sizeInWords)}`;
}

function waiting(error) {
  return error instanceof Broken ? "waiting for the network…" : `waiting: ${reason(error)}…`;
}

function lacking({ task, handle, trouble }) {
  const there = task.size === null ? sizeInWords(task.durable) : progress(task);
  if (trouble) return `${there} are here. ${trouble}`;
  if (task.size === null) return `${there} are here, of a stream: the program that sent it can go on`;
  return handle ? `${there} are here` : `${there} are here: choose the file again, and it goes on`;
}

function wayOn({ task, handle }) {
  if (task.size === null) return null;
  return handle ? "Go on" : "Choose the file";
}

function failure(error) {
  return error.code === "superseded" ? "taken over: another page or program sends it now" : explained(error);
}

function again({ file, error }) {
  if (!file) return null;
  return error.code === "superseded" ? "Take it back" : "Try again";
}

function leave({ uploadId, error }) {
  return uploadId === null || error?.code === "superseded" ? "Remove" : "Cancel";
}

function progress({ durable, size }) {
  return `${sizeInWords(durable)} of ${sizeInWords(size)}`;
}

function share(part, whole) {
  return `${Math.floor((100 * part) / (whole || 1))} %`;
}
