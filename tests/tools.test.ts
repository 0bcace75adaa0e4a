// Peers that no one here wrote: HTTP clients, load generators, a proxy, a database, through servers
// and relays of this library.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Child, runChild } from "./support/child.ts";
import { testUnless } from "./support/record.ts";
import { command } from "./support/runtime.ts";
import { freePort, listening, toolCommand, withFolder, without } from "./support/tools.ts";

const cli = command("cli.ts");

/** Runs an installed program to its end, which must be a good one; what it printed. */
async function run(name: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runChild(toolCommand(name, ...args));
  assert.equal(code, 0, `${name}: ${stdout}${stderr}`);
  return stdout;
}

/** The endpoint that a command of ours says it listens on. */
async function endpointOf(child: Child): Promise<string> {
  return String((await child.json()).endpoint);
}

function portOf(endpoint: string): number {
  return Number(/:(\d+)$/.exec(endpoint)![1]);
}

/** A relay of ours to a port of 127.0.0.1; the port that it listens on. */
async function relayTo(
  target: number,
): Promise<{ readonly port: number; readonly child: Child }> {
  const listen = "tcp://127.0.0.1:0";
  const child = new Child([...cli, "relay", listen, `tcp://127.0.0.1:${target}`, "--json"]);
  return { port: portOf(await endpointOf(child)), child };
}

/** The example server for HTTP, and its port. */
async function httpServer(): Promise<{ readonly port: number; readonly child: Child }> {
  const child = new Child([...command("examples/http_hello.ts"), "--any-port"]);
  const found = /^listening on http:\/\/127\.0\.0\.1:(\d+)\//.exec(await child.line());
  return { port: Number(found![1]), child };
}

testUnless(without("curl"), "curl talks to an HTTP server, twice over one connection", async () => {
  const { port, child } = await httpServer();
  using _ = child;
  const url = `http://127.0.0.1:${port}/`;
  const format = "%{http_code} %{num_connects}\\n";
  const output = await run("curl", "-sS", "--max-time", "10", "-w", format, url, url);
  assert.match(output, /200 1\n[^]*200 0\n$/);
});

testUnless(without("wrk"), "wrk loads an HTTP server without an error", async () => {
  const { port, child } = await httpServer();
  using _ = child;
  const output = await run("wrk", "-t1", "-c32", "-d1s", `http://127.0.0.1:${port}/`);
  assert.match(output, /[1-9]\d* requests in /);
  assert.doesNotMatch(output, /Socket errors|Non-2xx/);
});

testUnless(without("iperf3"), "iperf3 streams both ways through a relay", async () => {
  const target = await freePort();
  using _server = new Child(toolCommand("iperf3", "-s", "-B", "127.0.0.1", "-p", `${target}`));
  await listening(target);
  const { port, child } = await relayTo(target);
  using _ = child;
  const bytes = 64 << 20;
  for (const direction of [[], ["-R"]]) {
    const client = ["-c", "127.0.0.1", "-p", `${port}`, "-n", `${bytes}`, "-J", ...direction];
    const { end } = JSON.parse(await run("iperf3", ...client));
    assert.ok(end.sum_sent.bytes >= bytes);
    assert.ok(end.sum_received.bytes > 0);
    assert.equal(end.streams.length, 1);
  }
});

testUnless(without("socat"), "socat and a server over Unix sockets, by path and by name", () => {
  return withFolder(async (folder) => {
    const path = join(folder, "socket");
    for (
      const [endpoint, address] of [
        [`unix:${path}`, `UNIX-CONNECT:${path}`],
        [`unix:@${path}`, `ABSTRACT-CONNECT:${path}`],
      ]
    ) {
      using server = new Child([...cli, "echo", endpoint, "--json"]);
      assert.equal(await endpointOf(server), endpoint);
      const text = await run("sh", "-c", `printf 'over socat' | socat -t 5 - ${address}`);
      assert.equal(text, "over socat");
    }
  });
});

testUnless(without("socat"), "socat and a server over UDP", async () => {
  using server = new Child([...cli, "echo", "udp://127.0.0.1:0", "--json"]);
  const port = portOf(await endpointOf(server));
  const text = await run("sh", "-c", `printf datagram | socat -t 1 - UDP4:127.0.0.1:${port}`);
  assert.equal(text, "datagram");
});

testUnless(without("socat"), "a pipe of ours and socat at the other end", () => {
  return withFolder(async (folder) => {
    const path = join(folder, "socket");
    using _server = new Child(toolCommand("socat", `UNIX-LISTEN:${path},fork`, "EXEC:cat"));
    await listening(path);
    const pipe = [...cli, "pipe", `unix:${path}`].map((word) => `'${word}'`).join(" ");
    const text = await run("sh", "-c", `printf 'through cat' | ${pipe}`);
    assert.equal(text, "through cat");
  });
});

testUnless(
  without("sockperf"),
  "sockperf measures through a relay and misses nothing",
  async () => {
    const target = await freePort();
    const where = ["--tcp", "-i", "127.0.0.1", "-p"];
    using _server = new Child(toolCommand("sockperf", "server", ...where, `${target}`));
    await listening(target);
    const { port, child } = await relayTo(target);
    using _ = child;
    const output = await run("sockperf", "ping-pong", ...where, `${port}`, "-t", "1");
    assert.match(output, /ReceivedMessages=[1-9]/);
    assert.match(output, /# dropped messages = 0; # duplicated messages = 0; # out-of-order/);
  },
);

const redis = without("redis-server", "redis-cli", "redis-benchmark");
testUnless(redis, "a Redis client and server through a relay", async () => {
  const target = await freePort();
  const options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  using _server = new Child(toolCommand("redis-server", "--port", `${target}`, ...options));
  await listening(target);
  const { port, child } = await relayTo(target);
  using _ = child;
  const value = "v".repeat(100_000);
  assert.equal(await run("redis-cli", "-p", `${port}`, "set", "key", value), "OK\n");
  assert.equal(await run("redis-cli", "-p", `${port}`, "get", "key"), `${value}\n`);
  const load = ["-p", `${port}`, "-n", "4000", "-c", "20", "-P", "4", "-t", "set,get", "--csv"];
  const report = await run("redis-benchmark", ...load);
  assert.match(report, /"SET","\d/);
  assert.match(report, /"GET","\d/);
});

testUnless(without("haproxy", "curl"), "HAProxy before an HTTP server", () => {
  return withFolder(async (folder) => {
    const { port: target, child } = await httpServer();
    using _ = child;
    const port = await freePort();
    const file = join(folder, "haproxy.cfg");
    const times = "timeout connect 5s\n  timeout client 5s\n  timeout server 5s";
    writeFileSync(
      file,
      `defaults\n  mode http\n  ${times}\nfrontend front\n  bind 127.0.0.1:${port}\n` +
        `  default_backend back\nbackend back\n  server one 127.0.0.1:${target}\n`,
    );
    using _proxy = new Child(toolCommand("haproxy", "-db", "-f", file));
    await listening(port);
    const url = `http://127.0.0.1:${port}/`;
    const format = "%{http_code}\\n";
    const output = await run("curl", "-sS", "--max-time", "10", "-w", format, url, url, url);
    assert.equal(output.match(/200\n/g)?.length, 3);
  });
});
