/**
 * A second opinion on filters, written from the grammar in the README and not from the SQL: the property test compares
 * the two. It evaluates the JSON form itself and never sees a jsonpath.
 */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type Fields = { readonly [key: string]: Json };

const isFields = (value: Json | undefined): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);

/** An array stands for its elements, one level deep. */
const elements = (values: readonly Json[]): readonly Json[] =>
  values.flatMap((value) => (isList(value) ? value : [value]));

const step = (values: readonly Json[], key: string): readonly Json[] =>
  elements(values)
    .filter(isFields)
    .filter((fields) => Object.hasOwn(fields, key))
    .map((fields) => fields[key] as Json);

/** UTF-8 bytes sort like code points; JavaScript's own order is that of UTF-16 units. */
const order = (left: Json, right: Json): number => {
  if (typeof left === "number" && typeof right === "number") return Math.sign(left - right);
  if (typeof left === "string" && typeof right === "string")
    return Buffer.compare(Buffer.from(left), Buffer.from(right));
  return Number.NaN;
};

const comparisons: Readonly<Record<string, (value: Json, operand: Json) => boolean>> = {
  $eq: (value, operand) => value === operand,
  $gt: (value, operand) => order(value, operand) > 0,
  $gte: (value, operand) => order(value, operand) >= 0,
  $lt: (value, operand) => order(value, operand) < 0,
  $lte: (value, operand) => order(value, operand) <= 0,
  $in: (value, operand) => isList(operand) && operand.includes(value),
  $contains: (value, operand) =>
    value === operand || (typeof value === "string" && typeof operand === "string" && value.includes(operand)),
  $startsWith: (value, operand) => typeof value === "string" && value.startsWith(String(operand)),
  $endsWith: (value, operand) => typeof value === "string" && value.endsWith(String(operand)),
  $regex: (value, operand) => typeof value === "string" && new RegExp(String(operand), "u").test(value),
};

function holds(operator: string, operand: Json, found: readonly Json[]): boolean {
  switch (operator) {
    case "$and":
      return (operand as readonly Json[]).every((filter) => passes(filter, found));
    case "$or":
      return (operand as readonly Json[]).some((filter) => passes(filter, found));
    case "$not":
      return !passes(operand, found);
    case "$ne":
      return !holds("$eq", operand, found);
    case "$nin":
      return !holds("$in", operand, found);
    case "$exists":
      return found.length > 0 === operand;
    default: {
      const compare = comparisons[operator];
      if (compare === undefined) throw new Error(`the oracle does not know ${operator}`);
      return elements(found).some((value) => compare(value, operand));
    }
  }
}

function passes(condition: Json, found: readonly Json[]): boolean {
  if (!isFields(condition)) return holds("$eq", condition, found);
  return Object.entries(condition).every(([key, inner]) =>
    key.startsWith("$") ? holds(key, inner, found) : passes(inner, step(found, key)),
  );
}

/** Says whether the payload passes the filter, which must be one that the grammar allows. */
export const filterPasses = (filter: Json, payload: Json): boolean => passes(filter ?? {}, [payload]);
