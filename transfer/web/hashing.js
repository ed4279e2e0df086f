// The digest of a file, from a worker of its own.

const WORKER = "/web/hash-worker.js";

// Where the browser knows Trusted Types it makes a worker of no other script than this one.
const policy = globalThis.trustedTypes?.createPolicy("towline", { createScriptURL: () => WORKER });

/** Hashes a file beside the page. Rejects when it cannot be read. */
export function digestOf(file) {
  const worker = new Worker(policy ? policy.createScriptURL(WORKER) : WORKER, { type: "module" });
  const digest = new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.digest ? resolve(data.digest) : reject(new Error(data.failure)));
    worker.onerror = () => reject(new Error("this browser cannot compute the file's checksum"));
    worker.postMessage(file);
  });
  return digest.finally(() => worker.terminate());
}
