/** A process of the stage that takes orders: its own side. It ends with the one who gives them. */
import type { Order, Report } from "./child.ts";

/** Carries out the orders, one after another. */
export const carryOut = <T>(work: (order: T) => Promise<void>): void => {
  const report = (answer: Report): void => {
    if (process.connected) process.send?.(answer);
  };
  const carryOutOne = async ({ id, order }: Order): Promise<void> => {
    try {
      await work(order as T);
      report({ id });
    } catch (error) {
      report({ id, problem: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  };
  let before = Promise.resolve();
  process.on("message", (order: Order) => {
    before = before.then(() => carryOutOne(order));
  });
  process.once("disconnect", () => process.exit());
};
