/** An event as an e-mail: a text and an HTML part, with an id that is the event's, so that a repetition is known as one. */
import { createHash } from "node:crypto";
import type { Message } from "../destination.ts";
import { cut, type Notice, noticeOf, plainText } from "../notice.ts";

/** Who writes to whom: addresses without names. */
export interface Correspondents {
  readonly from: string;
  readonly to: readonly string[];
}

const payloadMax = 100_000;
const subjectMax = 200;

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character);

const headlineOf = ({ title, alert }: Notice): string =>
  alert === undefined ? title : `[${alert.state === "resolved" ? alert.state : alert.severity}] ${title}`;

const factsTable = (facts: Notice["facts"]): string => {
  const rows = facts.map(
    ([label, value]) => `<tr><th align="left">${escaped(label)}</th><td>${escaped(value)}</td></tr>`,
  );
  return `<table cellpadding="4">${rows.join("\n")}</table>`;
};

const htmlOf = (headline: string, { text, facts, listings }: Notice): string =>
  [
    "<!doctype html>",
    `<html><body style="font-family: sans-serif"><h3>${escaped(headline)}</h3>`,
    ...(text === undefined || text === "" ? [] : [`<p>${escaped(text).replaceAll("\n", "<br>")}</p>`]),
    factsTable(facts),
    ...listings.map(
      ([label, listing]) =>
        `<p><b>${escaped(label)}</b></p><pre style="white-space: pre-wrap">${escaped(listing)}</pre>`,
    ),
    "</body></html>",
  ].join("\n");

/** What the mails about one alert refer to, so that its end stands beside its beginning. */
const threadOf = ({ alert }: Notice, domain: string): string | undefined =>
  alert && `<${createHash("sha256").update(alert.dedup_key).digest("hex").slice(0, 32)}@${domain}>`;

/**
 * Renders an event as a whole message of RFC 5322.
 *
 * @param now what the mail is dated
 */
export const composeMail = async (message: Message, { from, to }: Correspondents, now: Date): Promise<Buffer> => {
  const { default: MailComposer } = await import("nodemailer/lib/mail-composer");
  const notice = noticeOf(message, payloadMax);
  const headline = headlineOf(notice);
  const domain = from.slice(from.lastIndexOf("@") + 1);
  const thread = threadOf(notice, domain);
  const composer = new MailComposer({
    from: { name: "", address: from },
    to: to.map((address) => ({ name: "", address })),
    subject: cut(headline, subjectMax),
    text: plainText({ ...notice, title: headline }),
    html: htmlOf(headline, notice),
    messageId: `<${message.eventId}@${domain}>`,
    ...(thread !== undefined && { inReplyTo: thread, references: thread }),
    date: now,
    // RFC 3834: no reply from a machine that is on holiday.
    headers: { "Auto-Submitted": "auto-generated", "X-Postrider-Topic": message.topic },
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return composer.compile().build();
};
