/** Defects in what is sent. */
import { marketDay } from "../drills.ts";
import type { Mutant } from "../mutant.ts";

const file = "destinations/webhook.js";

export const messageMutants: readonly Mutant[] = [
  {
    name: "body_serialised_anew",
    breaks: "The payload is parsed and written anew.",
    expects: "bytes",
    drill: marketDay,
    edits: [
      {
        file,
        from: "render(message, config.body, config.source)",
        to: "render({ ...message, payload: JSON.stringify(JSON.parse(message.payload)) }, config.body, config.source)",
      },
    ],
  },
  {
    name: "wrong_key",
    breaks: "Messages are signed with other bytes than the secret's.",
    expects: "bytes",
    drill: marketDay,
    edits: [
      { file, from: 'createSecretKey(text.slice("whsec_".length), "base64")', to: 'createSecretKey(text, "utf8")' },
    ],
  },
  {
    name: "timestamp_not_signed",
    breaks: "The signature leaves the timestamp out.",
    expects: "bytes",
    drill: marketDay,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the text of a template.
    edits: [{ file, from: "${message.eventId}.${timestamp}.${body}", to: "${message.eventId}.${body}" }],
  },
  {
    name: "event_made_up",
    breaks: "Beside each event another one is sent that nobody has inserted.",
    expects: "phantom",
    drill: marketDay,
    edits: [
      {
        file,
        from: "return outcomeOfResponse(answer, deadStatuses, now);",
        to: `const headers = { "webhook-id": globalThis.crypto.randomUUID() };
            await dialler.request(client.pool, { method: "POST", path: client.path, headers, body, signal });
            return outcomeOfResponse(answer, deadStatuses, now);`,
      },
    ],
  },
];
