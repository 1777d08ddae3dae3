/** A worker in a process of its own, with what `postrider work` uses. Sends `{ ready: true }`; stops on SIGTERM. */
import { startWorker } from "../../src/index.ts";

const worker = await startWorker({ migrate: false });
process.send?.({ ready: true });
process.once("disconnect", () => process.exit(1));
process.once("SIGTERM", () => {
  void worker.stop().then(() => process.exit(0));
});
