// Uploads files one after another with tus-js-client: node tus_upload.js ENDPOINT FILE…
import { createReadStream, statSync } from "node:fs";
import { Upload } from "tus-js-client";

const [endpoint, ...paths] = process.argv.slice(2);
for (const path of paths) {
  await new Promise((onSuccess, onError) => {
    new Upload(createReadStream(path), { endpoint, uploadSize: statSync(path).size, onSuccess, onError }).start();
  });
}
