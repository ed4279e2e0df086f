// Computes checksums of the file that it is sent, beside the page, so that the page stays quick.

import * as checksums from "./checksums.js";

onmessage = async ({ data: { task, given } }) => {
  try {
    const result = await checksums[task](...given, (heard) => postMessage({ heard }));
    postMessage({ result }, result.bytes ? [result.bytes] : []);
  } catch (error) {
    postMessage({ failure: String(error?.message ?? error) });
  }
};

postMessage("there");
