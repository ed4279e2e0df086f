// Checksums without standing in anybody's way: in workers where there are some, else here, a piece at a time.

import { NEVER, pause, pauseAfter, unless } from "./patience.js";

const WORKER = new URL("./hash-worker.js", import.meta.url).href;
const MOST_IDLE = 3;
const LONGEST_PAUSE_MS = 5_000;

const idle = [];
let policy; // where the browser knows Trusted Types it makes a worker of no other script than this one

/** The digest of a file; `heard(bytes)` hears how far it is. Rejects when it cannot be read, or with the reason of
 * `signal`. */
export function digestOf(file, { signal, heard } = {}) {
  return run("digestOf", [file], { signal, heard });
}

/** The `bytes` of a small file, and their `digest`. */
export function wholeOf(file) {
  return run("wholeOf", [file]);
}

/** Which of the leaves below `end` the file has, and the server has not: see checksums.js. */
export function compareLeaves(file, { leafSize, leaves, end }, { signal, heard } = {}) {
  return run("compareLeaves", [file, { leafSize, leaves, end }], { signal, heard });
}

// The code comes from the server, too: while the network is gone there may be no worker yet, and later there is.
async function run(task, given, { signal = NEVER, heard = () => {} } = {}) {
  for (let failures = 0; ; failures += 1) {
    signal.throwIfAborted();
    const worker = idle.pop() ?? (await newWorker());
    if (worker) return inWorker(worker, { task, given }, signal, heard);
    const checksums = await loaded();
    if (checksums) return checksums[task](...given, (bytes) => (signal.throwIfAborted(), heard(bytes)));
    await pause(pauseAfter(failures, LONGEST_PAUSE_MS), signal);
  }
}

async function inWorker(worker, work, signal, heard) {
  let isAtRest = false;
  try {
    const result = new Promise((resolve, reject) => {
      worker.onerror = () => reject(new Error("this browser cannot compute the file's checksum"));
      worker.onmessage = ({ data }) => {
        if ("heard" in data) return heard(data.heard);
        isAtRest = true;
        if ("failure" in data) reject(new Error(data.failure));
        else resolve(data.result);
      };
      worker.postMessage(work);
    });
    return await unless(signal, result);
  } finally {
    if (isAtRest && idle.length < MOST_IDLE) idle.push(worker);
    else worker.terminate();
  }
}

/** A worker that has said that it is there; null where there are none (in Node, and in pages of other servers), or when
 * its code does not come. */
async function newWorker() {
  if (typeof Worker === "undefined") return null;
  try {
    policy ??= globalThis.trustedTypes?.createPolicy("towline", { createScriptURL: () => WORKER });
    const worker = new Worker(policy ? policy.createScriptURL(WORKER) : WORKER, { type: "module" });
    await new Promise((there, failed) => {
      worker.onmessage = there;
      worker.onerror = () => failed(new Error("its code does not come"));
    });
    return worker;
  } catch (error) {
    console.info(`no worker computes checksums: ${error.message}`);
    return null;
  }
}

async function loaded() {
  try {
    return await import("./checksums.js");
  } catch (error) {
    console.info(`checksums have to wait: ${error.message}`);
    return null;
  }
}
