/** All faults there are. */
import type { Fault } from "../stage.ts";
import { administrationFaults } from "./administration.ts";
import { brokerFaults } from "./broker.ts";
import { certificateFaults } from "./certificates.ts";
import { clockFaults } from "./clock.ts";
import { diskFaults } from "./disk.ts";
import { jobFaults } from "./jobs.ts";
import { lineFaults } from "./lines.ts";
import { maintenanceFaults } from "./maintenance.ts";
import { nameFaults } from "./names.ts";
import { postgresFaults } from "./postgres.ts";
import { sinkFaults } from "./sinks.ts";
import { triggerFaults } from "./triggers.ts";
import { versionFaults } from "./versions.ts";
import { workerFaults } from "./workers.ts";

export const faults: readonly Fault[] = [
  ...workerFaults,
  ...versionFaults,
  ...postgresFaults,
  ...lineFaults,
  ...jobFaults,
  ...maintenanceFaults,
  ...diskFaults,
  ...clockFaults,
  ...sinkFaults,
  ...nameFaults,
  ...certificateFaults,
  ...brokerFaults,
  ...administrationFaults,
  ...triggerFaults,
];
