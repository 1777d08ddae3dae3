/** A worker in a process of its own, with the destination type that falls over a payload. */
import { startWorker } from "../../../src/index.ts";
import { fragile } from "./fragile.ts";

const worker = await startWorker({ destinations: [fragile] });
process.once("SIGTERM", () => void worker.stop());
