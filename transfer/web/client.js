// Uploads files to Towline, through any number of breaks. No page is needed here: it runs wherever there are WebSocket,
// Blob and fetch. What goes over the wire is in docs/protocol.md.
//
//   import { upload } from "/client.js";
//   const entry = await upload(file, { onProgress: (durable, size) => console.log(durable / size) });

import { Queue } from "./queue.js";

export { Broken, Refused } from "./connection.js";
export { Queue } from "./queue.js";

/**
 * Upload a File, or a Blob and a `name`; resolves to its entry, as a listing shows it. What an earlier call, on this
 * page or another, has sent of it is not sent again.
 *
 * Options are those of Queue and of its `add`. `onProgress(durableBytes, size)` hears how much is safe on the server's
 * disk; `onWaiting(error)`, each time that it waits before it tries again, for what. `signal` stops it: what is there
 * stays there, and a later call goes on. Rejects with the signal's reason, with Refused when the server says a final
 * no, and with what reading the file says.
 */
export function upload(file, { signal, onProgress = () => {}, onWaiting = () => {}, ...options } = {}) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    let told = 0;
    const changed = (task) => {
      if (task.durable !== told) onProgress((told = task.durable), task.size);
      if (task.state === "waiting") onWaiting(task.error);
      if (task.state === "done") resolve(task.entry);
      if (task.state === "failed") reject(task.error);
    };
    const task = new Queue({ connections: 1, ...options }).add(file, { ...options, changed });
    signal?.addEventListener("abort", () => {
      task.pause();
      reject(signal.reason);
    });
  });
}
