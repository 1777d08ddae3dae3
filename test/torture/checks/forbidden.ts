/** Forbidden addresses see no connection, and who cannot prove its name sees no request. */
import type { CanaryEntry } from "../stage.ts";

export const trespassIn = ({ at, address, port }: CanaryEntry): string =>
  `${address} port ${port} was reached at ${new Date(at).toISOString()}`;
