/**
 * Puts a fail point before and after every `await` of a built file: `await work()` becomes
 * `(before(point), after(point, await work()))`. A point is named by where its await stands: `sender.js:47:18`.
 */
import { type AnyNode, type CallExpression, parse } from "acorn";
import { full } from "acorn-walk";

/** Text around a part of the source. */
interface Wrap {
  readonly start: number;
  readonly end: number;
  readonly open: string;
  readonly close: string;
}

const runtime = "__crash";
const runtimeUrl = import.meta.resolve("./crash-runtime.ts");

/** From this line of the log on a worker is in the fleet; what it does by the clock from then on is no delivery. */
const joinedMessage = "worker joined";
const clockFunction = "startClock";
const engineFile = "engine.js";

const isCallOf = ({ callee }: CallExpression, name: string): boolean =>
  callee.type === "Identifier" && callee.name === name;
const isLogOf = (call: CallExpression, message: string): boolean =>
  call.arguments.some((argument) => argument.type === "Literal" && argument.value === message);

const wrapOf = (node: AnyNode, path: string): Wrap | undefined => {
  const { start, end, loc } = node;
  const point = JSON.stringify(`${path}:${loc?.start.line}:${(loc?.start.column ?? 0) + 1}`);
  switch (node.type) {
    case "AwaitExpression":
      return { start, end, open: `(${runtime}.before(${point}), ${runtime}.after(${point}, `, close: "))" };
    case "ForOfStatement":
      if (!node.await) return undefined;
      return { start: node.right.start, end: node.right.end, open: `${runtime}.each(${point}, `, close: ")" };
    case "CallExpression":
      if (path !== engineFile) return undefined;
      if (isCallOf(node, clockFunction)) return { start, end, open: `${runtime}.byTheClock(() => `, close: ")" };
      if (isLogOf(node, joinedMessage)) return { start, end, open: `(${runtime}.join(), `, close: ")" };
      return undefined;
    default:
      return undefined;
  }
};

/** Where both are the same, what stands around others opens first and closes last. */
const insert = (source: string, wraps: readonly Wrap[]): string => {
  const opens = wraps.toSorted((a, b) => a.start - b.start || b.end - a.end);
  const closes = wraps.toSorted((a, b) => a.end - b.end || b.start - a.start);
  const pieces = [
    ...closes.map(({ end, close }) => ({ at: end, text: close })),
    ...opens.map(({ start, open }) => ({ at: start, text: open })),
  ].toSorted((a, b) => a.at - b.at);
  let at = 0;
  let text = "";
  for (const piece of pieces) {
    text += source.slice(at, piece.at) + piece.text;
    at = piece.at;
  }
  return text + source.slice(at);
};

/**
 * The source with fail points. Only `await using` has none: the build has none of it.
 * @param path below `dist/`, like `sender.js`
 */
export const instrument = (path: string, source: string): string => {
  if (!source.includes("await")) return source;
  const wraps: Wrap[] = [];
  full(parse(source, { ecmaVersion: "latest", sourceType: "module", locations: true }), (node) => {
    const wrap = wrapOf(node as AnyNode, path);
    if (wrap !== undefined) wraps.push(wrap);
  });
  const others = wraps.filter(({ open }) => !/\.(before|each)\(/.test(open)).length;
  if (path === engineFile && others !== 2) throw new Error(`${path}: no "${joinedMessage}", or no ${clockFunction}()`);
  return `import * as ${runtime} from ${JSON.stringify(runtimeUrl)};${insert(source, wraps)}`;
};
