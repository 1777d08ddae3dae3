/** Secrets as they would be found: plain, escaped, percent-encoded, or anywhere within base64. */

/** Base64 of a text that stands anywhere in a longer one: the characters that depend on nothing else, for each of three places. */
const base64Inside = (text: string, encoding: "base64" | "base64url"): readonly string[] =>
  [0, 1, 2].map((shift) => {
    const bytes = Buffer.concat([Buffer.alloc(shift), Buffer.from(text)]);
    const whole = bytes.toString(encoding).replace(/=+$/, "");
    const isCut = bytes.length % 3 !== 0;
    return whole.slice(Math.ceil((shift * 8) / 6), isCut ? -1 : undefined);
  });

/** All spellings of a secret that would give it away. */
export const spellingsOf = (secret: string): readonly string[] => {
  const bare = secret.replace(/^whsec_/, "");
  return [
    ...new Set([
      bare,
      encodeURIComponent(bare),
      JSON.stringify(bare).slice(1, -1),
      ...base64Inside(bare, "base64"),
      ...base64Inside(bare, "base64url"),
    ]),
  ];
};
