// Hashes the file that it is sent, beside the page, so that the page stays quick.

import { digestOf } from "./sha256.js";

onmessage = async ({ data: file }) => {
  try {
    postMessage({ digest: await digestOf(file) });
  } catch (error) {
    postMessage({ failure: String(error?.message ?? error) });
  }
};
