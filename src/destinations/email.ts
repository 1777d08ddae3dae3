/** A mail for each event, handed to an SMTP server (RFC 5321) that the operator or the tenant names. */
import { createSecureContext } from "node:tls";
import { z } from "zod";
import { type DeliverContext, defineDestination, type Message, type Outcome } from "../destination.ts";
import { DialError } from "../outbound.ts";
import { dead, outcomeOfDialError, retry } from "../outcome.ts";
import { composeMail } from "../protocols/mail-message.ts";
import { isPlainAllowed } from "../protocols/plain-allowed.ts";
import { createSmtpPool, SmtpError, type SmtpLogin, type SmtpPool } from "../protocols/smtp-pool.ts";

/** Addresses without a name, of ASCII letters: nothing in one can end a line or begin another address. */
const addressField = z
  .string()
  .max(254)
  .regex(/^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]*$/);

const config = z.strictObject({
  host: z
    .string()
    .max(253)
    .regex(/^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])$/)
    .meta({ title: "Host", description: "Name or address of the SMTP server; IPv6 in brackets" }),
  port: z
    .int()
    .min(1)
    .max(65_535)
    .optional()
    .meta({ title: "Port", description: "Default 465, with starttls 587, without TLS 25" }),
  tls: z.enum(["implicit", "starttls", "none"]).default("implicit").meta({
    title: "TLS",
    description: "Verified; none only where the operator allows plain text (POSTRIDER_ALLOW_HTTP)",
  }),
  ca: z
    .string()
    .max(65_536)
    .regex(/^-----BEGIN CERTIFICATE-----/)
    .optional()
    .meta({ title: "Authorities", description: "PEM certificates to trust instead of the public authorities" }),
  from: addressField.meta({ title: "From", description: "The server must let the user send with it" }),
  to: z.array(addressField).min(1).max(50).meta({ title: "To", description: "1 to 50 addresses" }),
  username: z
    .string()
    .min(1)
    .max(255)
    .optional()
    .meta({ title: "User name", description: "Without it nobody logs in" }),
});

const secrets = z.strictObject({
  password: z.string().min(1).max(1_024).optional().meta({ title: "Password", description: "Of config.username" }),
});

type Config = z.infer<typeof config>;
type Context = DeliverContext<Config, SmtpPool>;

const ports = { implicit: 465, starttls: 587, none: 25 } as const;
const schemes = { implicit: "smtps", starttls: "smtp", none: "smtp" } as const;
const portOf = ({ port, tls }: Config): number => port ?? ports[tls];
const urlOf = (config: Config): string => `${schemes[config.tls]}://${config.host}:${portOf(config)}`;

const isUsable = (ca: string): boolean => {
  try {
    createSecureContext({ ca });
    return true;
  } catch {
    return false;
  }
};

const problem = (config: Config): string | undefined => {
  if (!URL.canParse(urlOf(config))) return "config.host: is not a host name or address";
  if (config.ca !== undefined && !isUsable(config.ca)) return "config.ca: is not a certificate in PEM";
  return undefined;
};

/** The valid passwords, newest first; while one is replaced both are tried. */
const loginsOf = ({ config, secrets }: Context): readonly SmtpLogin[] =>
  config.username === undefined
    ? []
    : (secrets.password ?? []).map((password) => ({ user: config.username ?? "", password }));

const unusable = (context: Context): string | undefined => {
  const { config, secrets, dialler } = context;
  if (config.tls === "none" && !isPlainAllowed(dialler)) {
    return "tls is none, and only an operator can allow plain text (POSTRIDER_ALLOW_HTTP)";
  }
  if ((config.username === undefined) === (secrets.password === undefined)) return undefined;
  return "config.username and the secret password go together: give both, or none";
};

/** Replies, the first that fits: the code, a space, the enhanced code if there is one (RFC 3463), a space, the stage. */
const meanings: readonly (readonly [pattern: RegExp, outcome: (told: string) => Outcome])[] = [
  [/^0 .*size$/, () => dead("too_large", "the mail is larger than the server says it takes")],
  [/^0 /, () => retry("auth_failed", "the server offers no login")],
  [/^5\d\d .*login$|^(530|534|535|538) /, (told) => retry("auth_failed", `the server refuses the login (${told})`)],
  [/^4\d\d 4\.7\./, (told) => retry("throttled", `the server wants less, or later (${told})`)],
  [/^4/, (told) => retry("unavailable", `the server cannot take it now (${told})`)],
  [/greeting$/, (told) => retry("unavailable", `the server takes no mail (${told})`)],
  [/^50[0-4] /, (told) => retry("protocol", `the server does not understand us (${told})`)],
  [/sender$/, (told) => retry("auth_failed", `the server lets this user send nothing as config.from (${told})`)],
  [
    /^552 .*message$|^5\d\d 5\.3\.4 /,
    (told) => dead("too_large", `the mail is larger than the server takes (${told})`),
  ],
  [/^5/, (told) => dead("rejected", `the server refuses the mail (${told})`)],
  [/./, (told) => retry("protocol", `the answer is not SMTP (${told})`)],
];

const wordsMax = 300;

/** What the server said, without a password that it repeats. A reply to a login is not shown at all. */
const wordsOf = ({ stage, reply }: SmtpError, logins: readonly SmtpLogin[]): string =>
  stage === "login"
    ? ""
    : logins.reduce((words, { password }) => words.replaceAll(password, "(secret)"), reply).slice(0, wordsMax);

const outcomeOfReply = (error: SmtpError, logins: readonly SmtpLogin[]): Outcome => {
  const { stage, replyCode } = error;
  const [enhanced = ""] = /^[245]\.\d{1,3}\.\d{1,3}\b/.exec(error.reply) ?? [];
  const key = `${replyCode} ${enhanced} ${stage}`;
  const words = wordsOf(error, logins);
  const told = words === "" ? `SMTP ${replyCode}` : `SMTP ${replyCode} ${words}`;
  const [, outcome] = meanings.find(([pattern]) => pattern.test(key)) ?? [];
  const meant = outcome?.(told) ?? retry("protocol", told);
  return replyCode === 0 ? meant : { ...meant, response: { status: replyCode, body: words } };
};

/** Taken for some: whom the server refuses for now gets it with the next attempt, and the others once more, with its id. */
const outcomeOfRefusals = (refusals: readonly SmtpError[], logins: readonly SmtpLogin[]): Outcome => {
  const later = refusals.find(({ replyCode }) => replyCode < 500);
  if (later !== undefined) return outcomeOfReply(later, logins);
  const body = refusals.map((refusal) => `refused: ${refusal.replyCode} ${wordsOf(refusal, logins)}`).join("\n");
  return { kind: "delivered", response: { status: 250, body } };
};

const deliver = async (message: Message, context: Context): Promise<Outcome> => {
  const { config, client, signal, now } = context;
  const reason = unusable(context);
  if (reason !== undefined) return dead("config_invalid", reason);
  const logins = loginsOf(context);
  try {
    const content = await composeMail(message, config, now);
    const { reply, refusals } = await client.send({ from: config.from, to: config.to, content }, logins, signal);
    if (refusals.length > 0) return outcomeOfRefusals(refusals, logins);
    return { kind: "delivered", response: { status: 250, body: reply.slice(0, wordsMax) } };
  } catch (error) {
    if (error instanceof SmtpError) return outcomeOfReply(error, logins);
    if (error instanceof DialError) return outcomeOfDialError(error);
    throw error;
  }
};

/** One message for all recipients; a session of the server's is kept for the next. */
export const destination = defineDestination<Config, SmtpPool>({
  type: "email",
  label: "E-mail",
  config,
  secrets,
  addresses: (config) => [new URL(urlOf(config))],
  check: problem,
  connect: ({ config, dialler }) => createSmtpPool({ ...config, port: portOf(config) }, dialler),
  disconnect: (pool) => pool.close(),
  deliver,
});
