/**
 * An incoming webhook of Slack (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks), or of a server
 * that takes the same, such as Mattermost: Block Kit for Slack, and the same as plain text for who does not know it.
 */
import { z } from "zod";
import { defineDestination, type Message, type Outcome } from "../destination.ts";
import { type Fact, type Listing, type Notice, noticeOf, plainText } from "../notice.ts";
import type { HttpPool, HttpResponse } from "../outbound.ts";
import { dead, retry } from "../outcome.ts";
import { postJson } from "../protocols/json-post.ts";

const config = z.strictObject({
  server: z
    .string()
    .max(512)
    .regex(/^https?:\/\/[^/?#@\\]+$/)
    .default("https://hooks.slack.com")
    .meta({ title: "Server", description: "The part of the webhook's URL that is no secret: https:// and the host" }),
});

const secrets = z.strictObject({
  webhook_url: z
    .string()
    .max(1024)
    .regex(/^(https?:\/\/[^/?#@\\]+)?\/[!-"$-~]+$/)
    .meta({
      title: "Webhook URL",
      description: "As Slack shows it, or what follows the server: who knows it can post",
    }),
});

type Config = z.infer<typeof config>;

/** https://docs.slack.dev/reference/block-kit/blocks: characters of a header, of a section, of each of its fields. */
const headerMax = 150;
const sectionMax = 3_000;
const fieldMax = 2_000;
const fieldsMax = 10;
/** The text beside the blocks is read in notifications, and by servers that know no blocks. */
const textMax = 4_000;
const payloadMax = 2_800;

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

/** The three characters that Slack's markup is made of; without them nobody is mentioned and nothing is a link. */
const escaped = (text: string): string => text.replaceAll(/[&<>]/g, (character) => entities[character] ?? character);

/** Escaped text of at most so many characters, which counts what the escaping adds. */
const fit = (text: string, lengthMax: number): string => {
  const whole = escaped(text);
  if (whole.length <= lengthMax) return whole;
  let fitting = "";
  for (const character of text) {
    const next = escaped(character);
    if (fitting.length + next.length >= lengthMax) break;
    fitting += next;
  }
  return `${fitting}…`;
};

/** A fence in the text would end the block early: a character without width stands between its marks. */
const unfenced = (text: string): string => text.replaceAll("```", "`\u200b`\u200b`");

const fence = "```";
const markdown = (text: string) => ({ type: "mrkdwn", text, verbatim: true });
const section = (text: string) => ({ type: "section", text: markdown(text) });

const fieldOf = ([label, value]: Fact) => markdown(`*${label}*\n${fit(value, fieldMax - label.length - 3)}`);

const listingOf = ([label, text]: Listing) => {
  const [start, end] = [`*${label}*\n${fence}\n`, `\n${fence}`];
  return section(start + fit(unfenced(text), sectionMax - start.length - end.length) + end);
};

const marks = { info: "🔵", warning: "🟠", critical: "🔴" } as const;

const headlineOf = ({ title, alert }: Notice): string => {
  if (alert === undefined) return title;
  return alert.state === "resolved" ? `🟢 Resolved: ${title}` : `${marks[alert.severity]} ${title}`;
};

const bodyOf = (message: Message): string => {
  const notice = noticeOf(message, payloadMax);
  const headline = headlineOf(notice);
  return JSON.stringify({
    text: fit(plainText({ ...notice, title: headline }), textMax),
    blocks: [
      { type: "header", text: { type: "plain_text", text: fit(headline, headerMax), emoji: false } },
      ...(notice.text === undefined || notice.text === "" ? [] : [section(fit(notice.text, sectionMax))]),
      { type: "section", fields: notice.facts.slice(0, fieldsMax).map(fieldOf) },
      ...notice.listings.map(listingOf),
    ],
  });
};

const disabling = (reason: string): Outcome => ({ kind: "dead", code: "gone", reason, disable: true });

/** What Slack says of a webhook that can post no more, whatever is sent to it. */
const goneWords =
  /^(?:no_service|no_service_id|no_active_hooks|no_team|team_disabled|invalid_token|channel_not_found|channel_is_archived)\b/;
/** What an administrator of the workspace has ruled out, and may allow again. */
const prohibitedWords = /^(?:action_prohibited|posting_to_\w+_channel_denied)\b/;

/** Slack's answers are a word each; only these words come to be in a reason. */
const meaningOf = ({ status, body }: HttpResponse): Outcome | undefined => {
  const [gone] = goneWords.exec(body) ?? [];
  if (gone !== undefined) return disabling(`HTTP ${status}: ${gone}: the webhook is of no use any more`);
  const [prohibited] = prohibitedWords.exec(body) ?? [];
  if (prohibited !== undefined) return retry("auth_failed", `HTTP ${status}: ${prohibited}: the workspace forbids it`);
  if (status === 429) return retry("throttled", "HTTP 429: more messages than the service takes");
  if (status === 413) return dead("too_large", "HTTP 413: the message is larger than the service takes");
  if (status !== 400) return undefined;
  const [word] = /^[a-z_]{1,64}\b/.exec(body) ?? [];
  return dead("rejected", `HTTP 400: ${word ?? "the service does not take this message"}`);
};

/** The path of the webhook, or undefined when it is one of another server. */
const pathOf = (webhookUrl: string, { server }: Config): string | undefined => {
  const url = new URL(webhookUrl, server);
  return url.origin === new URL(server).origin ? url.pathname + url.search : undefined;
};

/** One message for each event. */
export const destination = defineDestination<Config, HttpPool>({
  type: "slack",
  label: "Slack",
  config,
  secrets,
  addresses: ({ server }) => [new URL(server)],
  check: ({ server }) => (URL.canParse(server) ? undefined : "config.server: is not a URL"),
  // Slack takes one message a second of a webhook.
  connect: ({ config, dialler }) => dialler.pool(new URL(config.server), { connections: 4 }),
  disconnect: (pool) => pool.close(),
  deliver: async (message, context) => {
    const { config, client: pool, secrets } = context;
    const [webhookUrl] = secrets.webhook_url ?? [];
    if (webhookUrl === undefined) {
      return dead("config_invalid", "there is no webhook_url: give one with outbox.update_destination(secrets => ...)");
    }
    const path = pathOf(webhookUrl, config);
    if (path === undefined) {
      return dead("config_invalid", "the secret webhook_url leads to another server than config.server: change one");
    }
    return postJson({ pool, path, body: bodyOf(message), secret: path, meaning: meaningOf }, context);
  },
});
