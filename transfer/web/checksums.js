// Checksums of a file of any size, which is read a piece at a time: its digest, and those of its leaves. WebAssembly,
// since `crypto.subtle` cannot hash piece by piece, and is missing where a page came over plain HTTP.

import "./hash-wasm/sha256.umd.min.js"; // no modules: they leave `hashwasm` behind
import "./hash-wasm/xxhash128.umd.min.js";
import { bytesOf } from "./reading.js";

const PIECE_BYTES = 4 << 20;
const CHECKSUM_BYTES = 16;

/** The digest of a Blob, as the protocol writes it; `heard(bytes)` hears how far it is. Rejects when the file cannot
 * be read any more. */
export async function digestOf(blob, heard = () => {}) {
  const hash = await globalThis.hashwasm.createSHA256();
  return `sha256:${await hashed(hash, blob, heard)}`;
}

/** All of a small Blob, and its digest: what was hashed is what is sent. */
export async function wholeOf(blob) {
  const bytes = await bytesOf(blob);
  return { bytes, digest: `sha256:${await globalThis.hashwasm.sha256(new Uint8Array(bytes))}` };
}

/**
 * Compare the leaves of a Blob below `end` with what the server has there, in base64. Resolves to how many were
 * `compared`, how many of them are the `same`, and the `ranges` that differ, neighbours in one. `heard(bytes)` hears
 * how far it is.
 */
export async function compareLeaves(blob, { leafSize, leaves, end }, heard = () => {}) {
  const hash = await globalThis.hashwasm.createXXHash128();
  const known = checksumsIn(leaves);
  const ranges = [];
  let compared = 0;
  let same = 0;
  for (let start = 0; compared < known.length; start += leafSize) {
    const leafEnd = Math.min(start + leafSize, blob.size);
    if (leafEnd > end || start >= leafEnd) break;
    hash.init();
    if ((await hashed(hash, blob.slice(start, leafEnd))) === known[compared]) same += 1;
    else if (ranges.length && ranges.at(-1)[1] === start) ranges.at(-1)[1] = leafEnd;
    else ranges.push([start, leafEnd]);
    compared += 1;
    heard(leafEnd);
  }
  return { compared, same, ranges };
}

async function hashed(hash, blob, heard = () => {}) {
  for (let position = 0; position < blob.size; position += PIECE_BYTES) {
    heard(position);
    hash.update(new Uint8Array(await bytesOf(blob.slice(position, position + PIECE_BYTES))));
  }
  return hash.digest("hex");
}

/** The checksums that the server writes one after another, each in hexadecimal digits. */
function checksumsIn(leaves) {
  const digits = Array.from(atob(leaves), (byte) => byte.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  return digits.match(new RegExp(`.{${2 * CHECKSUM_BYTES}}`, "g")) ?? [];
}
