/** A receiver that answers as Slack's incoming webhooks do, and holds messages to the limits of Block Kit. */
import type { Socket } from "node:net";
import { z } from "zod";
import { type Receiver, type Reply, startReceiver } from "./receiver.ts";

const sectionText = z.strictObject({
  type: z.enum(["mrkdwn", "plain_text"]),
  text: z.string().min(1).max(3_000),
  verbatim: z.boolean().optional(),
  emoji: z.boolean().optional(),
});
const blockSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("header"),
    text: z.strictObject({
      type: z.literal("plain_text"),
      text: z.string().min(1).max(150),
      emoji: z.boolean().optional(),
    }),
  }),
  z
    .strictObject({
      type: z.literal("section"),
      text: sectionText.optional(),
      fields: z
        .array(sectionText.extend({ text: z.string().min(1).max(2_000) }))
        .min(1)
        .max(10)
        .optional(),
    })
    .refine(({ text, fields }) => text !== undefined || fields !== undefined),
]);
const messageSchema = z.strictObject({
  text: z.string().min(1).max(40_000),
  blocks: z.array(blockSchema).max(50),
});

/** A message that Slack takes. */
export type SlackMessage = z.infer<typeof messageSchema>;

/** What follows the server in the webhook's URL. */
export const slackPath = "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX";

export interface SlackServer extends AsyncDisposable {
  readonly receiver: Receiver;
  readonly origin: string;
  /** The next message that it takes. */
  readonly next: () => Promise<SlackMessage>;
  /** Connections that are open now. */
  readonly open: () => number;
  /** All that it got. */
  readonly messages: () => readonly SlackMessage[];
}

const plain = (status: number, body: string): Reply => ({ status, body, headers: { "content-type": "text/html" } });

/**
 * Starts on 127.0.0.1.
 *
 * @param answer instead of taking a good message
 */
export const startSlack = async (answer: () => Reply = () => plain(200, "ok")): Promise<SlackServer> => {
  const sockets = new Set<Socket>();
  const receiver = await startReceiver({
    respond: ({ method, path, headers, rawBody }, { socket }) => {
      if (socket !== null && !sockets.has(socket)) {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
      }
      if (path !== slackPath) return plain(404, "no_service");
      if (method !== "POST" || !headers["content-type"]?.startsWith("application/json")) {
        return plain(400, "invalid_payload");
      }
      const { error } = messageSchema.safeParse(JSON.parse(rawBody.toString()));
      return error === undefined ? answer() : plain(400, "invalid_blocks");
    },
  });
  const read = ({ rawBody }: { readonly rawBody: Buffer }) => messageSchema.parse(JSON.parse(rawBody.toString()));
  return {
    receiver,
    origin: receiver.url,
    next: async () => read(await receiver.next()),
    open: () => sockets.size,
    messages: () => receiver.requests.map(read),
    [Symbol.asyncDispose]: () => receiver.close(),
  };
};

/** As Slack shows it. */
export const unescapeSlack = (text: string): string =>
  text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

/** All text of a message's blocks, as Slack shows it, a line each. */
export const shownBySlack = ({ blocks }: SlackMessage): string =>
  blocks
    .flatMap((block) => [
      ...(block.text === undefined ? [] : [block.text.text]),
      ...("fields" in block ? (block.fields ?? []).map(({ text }) => text) : []),
    ])
    .map(unescapeSlack)
    .join("\n");

/** What a message says of its event: the id, the topic, and the payload as it is laid out. */
export const eventOfSlack = (message: SlackMessage) => {
  const shown = shownBySlack(message);
  return {
    id: /^\*Event\*\n(.*)$/m.exec(shown)?.[1] ?? "",
    topic: /^\*Topic\*\n(.*)$/m.exec(shown)?.[1] ?? "",
    payload: /^\*Payload\*\n```\n([\s\S]*)\n```$/m.exec(shown)?.[1] ?? "",
  };
};
