/** Starts an embedded server in the given directory, asks it a question, and stops it or is killed. */
import { startPostgres } from "../../src/embedded.ts";
import { ask } from "./server.ts";

const [dataDir = "", wish] = process.argv.slice(2);
await using server = await startPostgres({ dataDir });
const sql = "select current_setting('server_encoding') as encoding, current_setting('timezone') as zone";
const [row] = await ask(server.url, sql);
console.log(row?.encoding, row?.zone, server.dataDir);
if (wish === "--kill-myself") process.kill(process.pid, "SIGKILL");
