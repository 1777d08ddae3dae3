/** Text from outside is cleaned before it reaches SQL, a log or an error: NUL and lone surrogates break both. */

/** Text that Postgres stores: it refuses NUL, and lone surrogates are not UTF-8. Both become U+FFFD. */
export const storableText = (text: string): string =>
  (text.includes("\0") ? text.replaceAll("\0", "\ufffd") : text).toWellFormed();

/**
 * A foreign message fit for a line of a log: short, and without control characters.
 * @param charactersMax longer text is cut
 */
export const cleanText = (text: string, charactersMax: number): string =>
  storableText(text.slice(0, charactersMax)).replaceAll(/(?![\t\n])\p{Cc}/gu, "\ufffd");

const reasonCharactersMax = 500;

/** The text of a reason, fit to be stored and shown: clean, and cut after 500 characters. */
export const cleanReason = (text: string): string => cleanText(text, reasonCharactersMax);
