/** A worker in a process of its own, which can be killed. SIGTERM stops it; then nothing may keep the process alive. */
import { startWorker } from "../../../src/index.ts";

const worker = await startWorker();
process.once("SIGTERM", () => void worker.stop());
