// The SHA-256 of a file of any size: read a piece at a time, hashed by WebAssembly.

import "./hash-wasm/sha256.umd.min.js"; // no module: it leaves `hashwasm` behind

const PIECE_BYTES = 4 << 20;

/** The digest of a Blob, as the protocol writes it. Rejects when the file cannot be read any more. */
export async function digestOf(blob) {
  const hash = await globalThis.hashwasm.createSHA256();
  for (let position = 0; position < blob.size; position += PIECE_BYTES) {
    const piece = await blob.slice(position, position + PIECE_BYTES).arrayBuffer();
    hash.update(new Uint8Array(piece));
  }
  return `sha256:${hash.digest("hex")}`;
}
