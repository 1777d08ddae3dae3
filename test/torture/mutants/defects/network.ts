/** Defects in the guard of the way out. */
import type { Edit } from "../../stage.ts";
import { aimedInside, redirected, wrongCertificates } from "../drills.ts";
import type { Mutant } from "../mutant.ts";

/** Addresses of this kind of target are dialled whatever they are. */
const unchecked = (kind: "address" | "name"): Edit => ({
  file: "dial.js",
  from: "if (refused === undefined)",
  to: `if (refused === undefined || target.kind === "${kind}")`,
});

const verification = { file: "dial.js", from: "rejectUnauthorized: true," };

export const networkMutants: readonly Mutant[] = [
  {
    name: "literal_addresses_unchecked",
    breaks: "An address in a URL is dialled although it is private.",
    expects: "forbidden",
    drill: aimedInside,
    edits: [unchecked("address")],
  },
  {
    name: "resolved_addresses_unchecked",
    breaks: "A name is dialled although its addresses are private.",
    expects: "forbidden",
    drill: aimedInside,
    edits: [unchecked("name")],
  },
  {
    name: "first_address_checked_only",
    breaks: "Of the addresses of a name only the first is looked at.",
    expects: "forbidden",
    drill: aimedInside,
    edits: [
      {
        file: "dial.js",
        from: "const addresses = await candidates(target, port, context);\n    for (const address of addresses) {",
        to: "const addresses = await candidates(target, port, context);\n    for (const address of addresses.slice(0, 1)) {",
      },
    ],
  },
  {
    name: "redirects_followed",
    breaks: "A redirect is followed, past the guard.",
    expects: "forbidden",
    drill: redirected,
    edits: [
      {
        file: "destinations/webhook.js",
        from: "return outcomeOfResponse(answer, deadStatuses, now);",
        to: `if (answer.headers.location !== undefined)
                await fetch(answer.headers.location, { method: "POST", body, signal }).catch(() => undefined);
            return outcomeOfResponse(answer, deadStatuses, now);`,
      },
    ],
  },
  {
    name: "certificates_unchecked",
    breaks: "Any certificate is good enough.",
    expects: "forbidden",
    drill: wrongCertificates,
    edits: [{ ...verification, to: "rejectUnauthorized: false," }],
  },
  {
    name: "certificate_hosts_unchecked",
    breaks: "A certificate may be of another host.",
    expects: "forbidden",
    drill: wrongCertificates,
    edits: [{ ...verification, to: `${verification.from} checkServerIdentity: () => undefined,` }],
  },
];
