/** What is done to graphile-worker's jobs. */
import type { ClientBase } from "pg";

/** Leaves a job to whoever can do it: it runs again later, as if it had not been taken. */
export const putOffJob = async (client: ClientBase, jobId: string): Promise<void> => {
  await client.query("select outbox.put_off_job($1)", [jobId]);
};

/** Hands a job over to workers of a newer version: none of this one takes it again. */
export const handOverJob = async (client: ClientBase, jobId: string, version: number): Promise<void> => {
  await client.query("select outbox.hand_over_job($1, $2)", [jobId, version]);
};
