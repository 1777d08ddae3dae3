/** Random filters, and payloads that come close to them, for comparing SQL with the oracle. */
import fc from "fast-check";
import type { Json } from "./filter_oracle.ts";

/** Few names and values, and among them all that is hard to quote. */
const strangeNames = ["a.b", "__proto__", 'q"\\', "ключ", "\u0001\n\t", "😀", "", "0", "%s", "a'b"];
const name = fc.oneof({ weight: 4, arbitrary: fc.constantFrom("a", "b") }, fc.constantFrom(...strangeNames));
const plainText = fc.constantFrom("a", "b", "ab", "ba", "aab", "A");
const familiarText = fc.constantFrom(
  ...["", "a.b", "1", 'q"\\', "$", "^a$", "(a|b)*", "\n", "ä", "\uffee", "😀", "\\E", "***=a"],
);
/** Neither NUL nor half of a surrogate pair: jsonb cannot hold them. */
const strangeText = fc.string({ unit: "binary", maxLength: 4 }).filter((value) => !value.includes("\0"));
const text = fc.oneof({ weight: 3, arbitrary: plainText }, familiarText, strangeText);
/** Numbers that survive JavaScript, and are not longer than a filter may be once Postgres has written out their zeros. */
const decimal = fc
  .tuple(fc.integer({ min: -999_999, max: 999_999 }), fc.integer({ min: -20, max: 20 }))
  .map(([digits, exponent]) => Number(`${digits}e${exponent}`));
const number = fc.oneof(fc.integer({ min: -2, max: 3 }), fc.constantFrom(0.1, 1e21, -1.5e-7, 2 ** 53), decimal);
const scalar = fc.oneof({ weight: 2, arbitrary: text }, number, fc.boolean(), fc.constant(null));
const fragment = text.filter((value) => value !== "");
const scalars = fc.array(scalar, { minLength: 1, maxLength: 3 });
const ordered = fc.oneof(number, text);

const operands: Readonly<Record<string, fc.Arbitrary<Json>>> = {
  $eq: scalar,
  $ne: scalar,
  $gt: ordered,
  $gte: ordered,
  $lt: ordered,
  $lte: ordered,
  $in: scalars,
  $nin: scalars,
  $exists: fc.boolean(),
  $contains: fc.oneof(fragment, number, fc.boolean(), fc.constant(null)),
  $startsWith: fragment,
  $endsWith: fragment,
  // The two regex languages differ at their edges (line breaks, Unicode classes): only what means the same in both.
  $regex: fc.constantFrom("a", "^a", "b$", "^(a|b)+$", "[ab]{2}", "^[0-9]+$", "a\\.b", "ä|1", "^$", "(?:a|A)b?"),
};
const operation = fc.oneof(
  ...Object.entries(operands).map(([operator, operand]) => fc.tuple(fc.constant(operator), operand)),
);

/** `Object.fromEntries` makes `__proto__` a field like any other; a literal or an assignment would not. */
const toObject = (entries: [string, Json][]): Json => Object.fromEntries(entries);
const fields = (values: fc.Arbitrary<Json>, minLength: number) =>
  fc.array(fc.tuple(name, values), { minLength, maxLength: 3 }).map(toObject);
const operations = fc.array(operation, { minLength: 1, maxLength: 2 }).map(toObject);
const combined = (filter: fc.Arbitrary<Json>): fc.Arbitrary<Json> => {
  const filters = fc.array(filter, { minLength: 1, maxLength: 2 });
  return fc.oneof(fc.record({ $not: filter }), fc.record({ $or: filters }), fc.record({ $and: filters }));
};

const { filter, payload } = fc.letrec<{ payload: Json; condition: Json; filter: Json }>((tie) => ({
  payload: fc.oneof({ maxDepth: 4 }, scalar, fields(tie("payload"), 0), fc.array(tie("payload"), { maxLength: 3 })),
  condition: fc.oneof({ maxDepth: 3 }, scalar, operations, combined(operations), tie("filter")),
  filter: fc.oneof({ maxDepth: 3 }, fields(tie("condition"), 1), combined(tie("filter"))),
}));

const isObject = (value: Json): value is { readonly [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What lies at, or just beside, an operand: most bugs live there. */
function near(operand: Json): fc.Arbitrary<Json> {
  if (Array.isArray(operand)) return fc.oneof(...operand.map(near));
  if (typeof operand === "number") return fc.constantFrom(operand, operand - 1, operand + 1);
  if (typeof operand === "string") return fc.constantFrom(operand, `${operand}a`, `a${operand}`, `b${operand}b`);
  return fc.oneof(fc.constant(operand), scalar);
}

/** A payload with the fields that a filter asks for, sometimes in arrays. */
function answer(condition: Json): fc.Arbitrary<Json> {
  const parts = isObject(condition) ? Object.entries(condition).map(answerTo) : [near(condition)];
  const whole = fc.tuple(...parts).map((values) => values.reduce(merge));
  return fc.oneof(
    { weight: 4, arbitrary: whole },
    whole.map((value) => [value]),
    fc.tuple(whole, payload),
  );
}

function answerTo([key, condition]: [string, Json]): fc.Arbitrary<Json> {
  if (!key.startsWith("$")) return answer(condition).map((value) => toObject([[key, value]]));
  if (key === "$not") return answer(condition);
  if (key === "$and" || key === "$or") return fc.oneof(...inner(condition).map(answer));
  return near(condition);
}

const merge = (left: Json, right: Json): Json =>
  isObject(left) && isObject(right) ? toObject([...Object.entries(left), ...Object.entries(right)]) : right;

/** A filter within the limits, and a payload, as JSON text. Half of the payloads are made for their filter. */
export const filterAndPayload = filter
  .filter((value) => nodes(value) <= 64 && depth(value) <= 8)
  .chain((value) => fc.tuple(fc.constant(value), fc.oneof(payload, answer(value))))
  .map(([wanted, sent]) => [JSON.stringify(wanted), JSON.stringify(sent)] as const);

const inner = (value: Json): readonly Json[] =>
  typeof value === "object" && value !== null ? Object.values(value) : [];
const depth = (value: Json): number => (inner(value).length === 0 ? 0 : 1 + Math.max(...inner(value).map(depth)));
const nodes = (value: Json): number => inner(value).reduce<number>((sum, part) => sum + 1 + nodes(part), 0);
