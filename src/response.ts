/** What of an answer is worth keeping: a few headers, and the first bytes of the body, as text that Postgres accepts. */
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw, constants as zlib } from "node:zlib";
import pLimit from "p-limit";
import { storableText } from "./text.ts";

/** How much of a body is kept, after decompression. */
export const responseBodyBytesMax = 16 * 1024;
/** How much of a compressed body is read: far more than 16 KiB take up in any of these encodings. */
export const compressedBytesMax = 64 * 1024;

const headerCharsMax = 1_024;

/** Headers that help to understand an answer and carry no credentials; `Set-Cookie` and `WWW-Authenticate` stay out. */
const keptHeaders: ReadonlySet<string> = new Set([
  "content-type",
  "content-length",
  "content-encoding",
  "date",
  "location",
  "ratelimit",
  "ratelimit-policy",
  "retry-after",
  "server",
  "x-amzn-requestid",
  "x-correlation-id",
  "x-ratelimit-limit",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
  "x-request-id",
  "cf-ray",
]);

/**
 * The headers worth keeping, names in lower case, values cut to 1024 characters.
 *
 * @param headers as undici gives them: lower-case names, an array where a name came more than once
 */
export const keepHeaders = (
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> => {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || !keptHeaders.has(name)) continue;
    const text = typeof value === "string" ? value : value.join(", ");
    kept[name] = storableText(text.length > headerCharsMax ? text.slice(0, headerCharsMax) : text);
  }
  return kept;
};

/** The first 16 KiB as text. Bytes that are not UTF-8 become U+FFFD; a character cut in half at the end is left out. */
export const bodyText = (bytes: Buffer): string => {
  if (bytes.length <= responseBodyBytesMax) return storableText(bytes.toString("utf8"));
  let end = responseBodyBytesMax;
  // Step back over at most three continuation bytes, to where a character starts.
  while (end > responseBodyBytesMax - 3 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return storableText(bytes.toString("utf8", 0, end));
};

type Decoder = ReturnType<typeof createGunzip | typeof createInflate | typeof createBrotliDecompress>;

const inflateOptions = { finishFlush: zlib.Z_SYNC_FLUSH };
/** A zlib header (RFC 1950) says method 8; without it, as some servers do, it is bare deflate (RFC 1951). */
const hasZlibHeader = (bytes: Buffer): boolean => ((bytes[0] ?? 0) & 0x0f) === 8;

const createDecoder = (encoding: string, bytes: Buffer): Decoder | undefined => {
  switch (encoding) {
    case "gzip":
    case "x-gzip":
      return createGunzip(inflateOptions);
    case "deflate":
      return hasZlibHeader(bytes) ? createInflate(inflateOptions) : createInflateRaw(inflateOptions);
    case "br":
      return createBrotliDecompress();
    default:
      return undefined;
  }
};

/** zlib drops the output of the piece in which it finds an error, so pieces are small. */
const pieceBytes = 1_024;

const feed = (decoder: Decoder, bytes: Buffer): void => {
  for (let at = 0; at < bytes.length; at += pieceBytes) decoder.write(bytes.subarray(at, at + pieceBytes));
  decoder.end();
};

/** A brotli decoder may fill a window of 16 MiB before it gives out a byte: no more than libuv has threads. */
const decoders = pLimit(4);

const decode = (decoder: Decoder, bytes: Buffer): Promise<Buffer> => {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let size = 0;
  const finish = (): void => {
    decoder.destroy();
    resolve(Buffer.concat(chunks));
  };
  decoder.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size > responseBodyBytesMax) finish();
  });
  decoder.once("end", finish).on("error", finish);
  feed(decoder, bytes);
  return promise;
};

/**
 * Decompresses until 16 KiB are there, and no further, so that a bomb stays small. Never fails: of a broken or cut body
 * what could be decoded is returned, of an unknown encoding (or several) nothing.
 *
 * @param bytes the body as it came, at most {@link compressedBytesMax} of it
 * @param encoding `Content-Encoding` (RFC 9110, 8.4)
 */
export const decompress = (bytes: Buffer, encoding: string): Promise<Buffer> =>
  decoders(() => {
    const decoder = createDecoder(encoding.trim().toLowerCase(), bytes);
    return decoder === undefined ? Buffer.alloc(0) : decode(decoder, bytes);
  });
