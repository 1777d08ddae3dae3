import { strict as assert } from "node:assert";
import { test } from "node:test";
import { answering, getWithin, openDialler, startServer } from "./servers.ts";

const dialler = openDialler();
const connections = 48;
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

test("requests one after another share a connection", async () => {
  await using server = await startServer(answering(ok));
  const pool = dialler.pool(server.origin, { connections });
  for (let n = 0; n < 20; n += 1) assert.equal((await dialler.request(pool, getWithin())).body, "ok");
  assert.equal(server.accepted(), 1);
  await pool.close();
});

test("a receiver that answers nothing gets all the connections that it may get, and no more", async () => {
  const all = Promise.withResolvers<void>();
  await using server = await startServer(() => {
    if (server.accepted() === connections) all.resolve();
  });
  const pool = dialler.pool(server.origin, { connections });
  const stop = new AbortController();
  const requests = Array.from({ length: 3 * connections }, () =>
    dialler.request(pool, { ...getWithin(), signal: stop.signal }).catch(({ code }) => code),
  );
  await all.promise;
  stop.abort();
  assert.deepEqual(new Set(await Promise.all(requests)), new Set(["timeout"]));
  assert.equal(server.accepted(), connections);
  await pool.destroy();
});

test("requests that wait for a connection are sent in their order when one is free", async () => {
  const paths: string[] = [];
  await using server = await startServer((socket) => {
    socket.on("data", (head) => {
      paths.push(...Array.from(head.toString().matchAll(/^GET (\S+)/gm), ([, path = ""]) => path));
      socket.write(ok);
    });
  });
  const pool = dialler.pool(server.origin, { connections: 1 });
  const wanted = Array.from({ length: 50 }, (_, n) => `/${n}`);
  await Promise.all(wanted.map((path) => dialler.request(pool, { ...getWithin(), path })));
  assert.deepEqual(paths, wanted);
  assert.equal(server.accepted(), 1);
  await pool.close();
});

test("requests that wait for a connection fail one by one when none can be made, and the pool goes on", async () => {
  const server = await startServer(answering(ok));
  const { origin } = server;
  await server[Symbol.asyncDispose]();
  const pool = dialler.pool(origin, { connections });
  const requests = Array.from({ length: 5 * connections }, () =>
    dialler.request(pool, getWithin()).catch(({ code }) => code),
  );
  assert.deepEqual(new Set(await Promise.all(requests)), new Set(["connect"]));
  await pool.close();
});
