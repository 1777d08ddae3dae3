/** A real SMTP server that keeps what it gets: `await using server = await startSmtp();` */
import { once } from "node:events";
import type { Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import PostalMime, { type Email } from "postal-mime";
import { SMTPServer } from "smtp-server";
import { Arrivals } from "./arrivals.ts";
import type { Certificate } from "./certificate.ts";
import { type Forwarder, startForwarder } from "./forwarder.ts";

/** A message as the server took it. */
export interface TakenMail {
  readonly from: string;
  readonly to: readonly string[];
  readonly user: string | undefined;
  readonly encrypted: boolean;
  readonly source: string;
  readonly parsed: Email;
}

/** A reply such as `550 5.1.1 nobody here`, or undefined to take it. */
export type SmtpReply = string | undefined;

export interface SmtpOptions {
  /** Key and certificate: without them there is no TLS. */
  readonly tls?: Certificate;
  /** TLS before the first word, instead of STARTTLS. */
  readonly implicit?: boolean;
  /** Who may log in; without it nobody has to. */
  readonly login?: { readonly user: string; readonly password: string };
  readonly size?: number;
  readonly onConnect?: () => SmtpReply;
  readonly onLogin?: () => SmtpReply;
  readonly onSender?: (address: string) => SmtpReply;
  readonly onRecipient?: (address: string) => SmtpReply;
  /** Called when the whole message is there. */
  readonly onMessage?: (mail: TakenMail) => SmtpReply | Promise<SmtpReply>;
}

export interface SmtpTestServer extends AsyncDisposable {
  readonly port: number;
  /** Also those that are refused at the end. */
  readonly mails: Arrivals<TakenMail>;
  /** Connections that are open now. */
  readonly open: () => number;
  /** Connections that there have been. */
  readonly accepted: () => number;
  /** Ends every connection, as a server does that is restarted. */
  readonly drop: () => void;
}

/** A reply as smtp-server takes one: an error with a code. */
const errorOf = (reply: SmtpReply): Error | undefined => {
  if (reply === undefined) return undefined;
  const [, code = "", text = ""] = /^(\d{3}) (.*)$/s.exec(reply) ?? [];
  return Object.assign(new Error(text), { responseCode: Number(code) });
};

/** Starts on 127.0.0.1. */
export const startSmtp = async (options: SmtpOptions = {}): Promise<SmtpTestServer> => {
  const { tls, implicit = false, login, size } = options;
  const mails = new Arrivals<TakenMail>();
  let accepted = 0;
  const hidden = [...(tls === undefined || implicit ? ["STARTTLS"] : []), ...(login === undefined ? ["AUTH"] : [])];
  const server = new SMTPServer({
    ...tls,
    secure: implicit,
    disabledCommands: hidden,
    allowInsecureAuth: tls === undefined,
    hideENHANCEDSTATUSCODES: true,
    disableReverseLookup: true,
    closeTimeout: 10,
    ...(size !== undefined && { size }),
    onConnect: (_session, done) => {
      accepted += 1;
      done(errorOf(options.onConnect?.()));
    },
    onAuth: ({ username, password }, _session, done) => {
      const refused = errorOf(options.onLogin?.());
      if (refused !== undefined) return done(refused);
      if (username === login?.user && password === login?.password) return done(null, { user: username });
      return done(errorOf("535 5.7.8 Username and Password not accepted"));
    },
    onMailFrom: ({ address }, _session, done) => done(errorOf(options.onSender?.(address))),
    onRcptTo: ({ address }, _session, done) => done(errorOf(options.onRecipient?.(address))),
    onData: (stream, { envelope, user, secure }, done) => {
      const take = async () => {
        // The client may be cut off in the middle of it: then there is no mail.
        const source = await buffer(stream).then(String, () => undefined);
        if (source === undefined) return;
        const mail = {
          from: envelope.mailFrom === false ? "" : envelope.mailFrom.address,
          to: envelope.rcptTo.map(({ address }) => address),
          user,
          encrypted: secure,
          source,
          parsed: await PostalMime.parse(source),
        };
        mails.add(mail);
        done(errorOf(await options.onMessage?.(mail)), "2.0.0 Ok: queued as A1");
      };
      void take();
    },
  });
  server.on("error", () => {});
  server.listen(0, "127.0.0.1");
  await once(server.server, "listening");
  const address = server.server.address();
  return {
    port: typeof address === "object" ? (address?.port ?? 0) : 0,
    mails,
    open: () => server.connections.size,
    accepted: () => accepted,
    drop: () => {
      for (const connection of server.connections) connection.close();
    },
    [Symbol.asyncDispose]: async () => {
      mails.close();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
};

/** What a mail says of its event: the id, the topic, and the payload as it is laid out. */
export const eventOfMail = ({ parsed: { text = "" } }: TakenMail) => ({
  id: /^Event: (.*)$/m.exec(text)?.[1] ?? "",
  topic: /^Topic: (.*)$/m.exec(text)?.[1] ?? "",
  payload: text.slice(text.indexOf("\nPayload:\n") + "\nPayload:\n".length),
});

/**
 * A forwarder to a server whose muted answers begin with the one to a message: who speaks SMTP sends no message before the
 * server has asked for it.
 */
export const startSmtpForwarder = async (port: number): Promise<Forwarder> => {
  let muting = false;
  const answers = (server: NodeJS.ReadableStream, client: Writable): void => {
    let asked = false;
    server.on("data", (chunk: Buffer) => {
      if (!(muting && asked)) client.write(chunk);
      asked = muting && /^354 /m.test(String(chunk));
    });
    server.on("end", () => muting || client.end());
  };
  const forwarder = await startForwarder(port, { answers });
  const mute = (): void => {
    muting = true;
  };
  return { ...forwarder, mute };
};
