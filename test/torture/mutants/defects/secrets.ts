/** Defects that give secrets away. */
import { badAnswers, marketDay, secretsAge } from "../drills.ts";
import type { Mutant } from "../mutant.ts";

export const secretMutants: readonly Mutant[] = [
  {
    name: "secrets_logged",
    breaks: "The log tells what messages are signed with.",
    expects: "secrets",
    drill: marketDay,
    edits: [
      {
        file: "sender.js",
        from: "inFlight.add(controller);",
        to: 'inFlight.add(controller); log.debug({ secrets: connection.secretsAt(new Date()) }, "sending");',
      },
    ],
  },
  {
    name: "secrets_in_errors",
    breaks: "The recorded reason of a failure tells what the message was signed with.",
    expects: "secrets",
    drill: badAnswers,
    edits: [
      {
        file: "destinations/webhook.js",
        from: "return outcomeOfDialError(error);",
        to: "return { ...outcomeOfDialError(error), reason: JSON.stringify(context.secrets) };",
      },
    ],
  },
  {
    name: "sealing_off",
    breaks: "Secrets lie in the database as they were given.",
    expects: "secrets",
    drill: secretsAge,
    edits: [
      {
        file: "inspection.js",
        from: "stored.secrets.filter(({ keyId }) => keyId !== key.id)",
        to: "[]",
      },
    ],
  },
];
