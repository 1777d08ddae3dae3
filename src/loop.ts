/** Work that is done in rounds, each with all that has gathered since the last. */

/**
 * Calls `round` when woken, never twice at once, and again as long as it was woken meanwhile. The first round of a quiet
 * time begins at the end of this turn of the event loop, so that what comes in one turn goes together.
 * @param round must not reject
 * @returns to be called when there is something to do
 */
export const createLoop = (round: () => Promise<void>): (() => void) => {
  let running = false;
  let woken = false;
  const run = async (): Promise<void> => {
    while (woken) {
      woken = false;
      await round();
    }
    running = false;
  };
  return () => {
    woken = true;
    if (running) return;
    running = true;
    setImmediate(run);
  };
};
