// A tus server that keeps what arrives in a folder: node tus_server.js FOLDER. Prints the port that it took.
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const server = new Server({ path: "/files", datastore: new FileStore({ directory: process.argv[2] }) });
const listening = server.listen({ host: "127.0.0.1", port: 0 }, () => {
  console.log(`listening on ${listening.address().port}`);
});
