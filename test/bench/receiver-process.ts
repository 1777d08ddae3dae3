/**
 * A receiver in a process of its own, as receivers are: it reads each POST and answers. Told `{ announce: n }` it sends
 * `{ reached: n }` when n more have come than it was last told of, so that nobody takes CPU by asking.
 */
import { createServer } from "node:http";

let count = 0;
let announced = Number.POSITIVE_INFINITY;
const announce = (): void => {
  if (count < announced) return;
  process.send?.({ reached: announced });
  count -= announced;
  announced = Number.POSITIVE_INFINITY;
};
const server = createServer({ keepAliveTimeout: 30_000 }, (request, response) => {
  request.resume().once("end", () => {
    count += 1;
    response.end("ok");
    announce();
  });
});
process.on("message", (message: { announce: number }) => {
  announced = message.announce;
  announce();
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.send?.({ port: typeof address === "object" ? address?.port : undefined });
});
process.once("disconnect", () => process.exit(0));
