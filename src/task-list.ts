/** The task list of workers that have no tasks of their own: graphile-worker loads this file as a task directory. */
export { outbox_deliver } from "./tasks/deliver.ts";
