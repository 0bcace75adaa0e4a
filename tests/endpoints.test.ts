// Endpoints: what is accepted, in both forms, compared with the runtime's own readers of addresses;
// everything else is refused by name before the kernel is asked.

import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { type Endpoint, IoError, Loop } from "../mod.ts";
import { resolveEndpoint } from "../src/endpoint.ts";
import { formatAddress, readAddress, writeAddress } from "../src/socket_address.ts";
import { bestBackend } from "./support/backends.ts";

/** The library's code for an endpoint, or null when it is one. */
function refusal(endpoint: string | Endpoint): string | null {
  try {
    resolveEndpoint(endpoint);
    return null;
  } catch (error) {
    assert.ok(error instanceof IoError, `${String(error)} is no IoError`);
    assert.ok(error.message.length > 0 && error.advice.length > 0);
    return error.code;
  }
}

const malformed = [
  "",
  "tcp",
  "tcp:",
  "tcp://",
  "127.0.0.1:80",
  "//127.0.0.1:80",
  "tcp:/127.0.0.1:80",
  "tcp:127.0.0.1:80",
  "tcp://127.0.0.1",
  "tcp://127.0.0.1:",
  "tcp://:80",
  "tcp://127.0.0.1:65536",
  "tcp://127.0.0.1:99999",
  "tcp://127.0.0.1:-1",
  "tcp://127.0.0.1:1e3",
  "tcp://127.0.0.1:0x50",
  "tcp://127.0.0.1: 80",
  "tcp:// 127.0.0.1:80",
  "tcp://127.0.0.1:80 ",
  "tcp://127.0.0.1:80/",
  "tcp://127.0.0.1:80/path",
  "tcp://user@127.0.0.1:80",
  "tcp://127.0.0:80",
  "tcp://127.0.0.0.1:80",
  "tcp://256.0.0.1:80",
  "tcp://127.0.0.01:80",
  "tcp://0x7f.0.0.1:80",
  "tcp://2130706433:80",
  "tcp://::1:80",
  "tcp://[::1]",
  "tcp://[::1:80",
  "tcp://::1]:80",
  "tcp://[]:80",
  "tcp://[127.0.0.1]:80",
  "tcp://[::1::]:80",
  "tcp://[1:2:3:4:5:6:7]:80",
  "tcp://[1:2:3:4:5:6:7:8:9]:80",
  "tcp://[12345::]:80",
  "tcp://[g::]:80",
  "tcp://[::1%]:80",
  "tcp://[::1%eth0]:80",
  "tcp://[::1%4294967296]:80",
  "tcp://[::1%1%2]:80",
  "tcp://[::256.0.0.1]:80",
  "tcp://127.0.0.1%1:80",
];

test("malformed endpoints are INVALID_ENDPOINT, with what is wrong and what to do", () => {
  for (const endpoint of malformed) {
    assert.equal(refusal(endpoint), "INVALID_ENDPOINT", JSON.stringify(endpoint));
  }
  using loop = new Loop({ backend: bestBackend });
  for (const endpoint of malformed) {
    assert.throws(() => loop.listen(endpoint, {}), { code: "INVALID_ENDPOINT" });
    assert.throws(() => loop.connect(endpoint, {}), { code: "INVALID_ENDPOINT" });
  }
  assert.equal(loop.stats().openListeners, 0);
  assert.equal(loop.stats().openConnections, 0);
});

test("other schemes are UNKNOWN_SCHEME", () => {
  for (const scheme of ["udp", "http", "tls", "rdma+message", "tcp4", "a"]) {
    assert.equal(refusal(`${scheme}://127.0.0.1:80`), "UNKNOWN_SCHEME");
  }
  const object = { transport: "udp", host: "127.0.0.1", port: 80 } as unknown as Endpoint;
  assert.equal(refusal(object), "UNKNOWN_SCHEME");
  assert.throws(() => resolveEndpoint("udp://127.0.0.1:80"), { advice: /datagrams have bind/ });
  assert.throws(() => resolveEndpoint("http://127.0.0.1:80"), { advice: /name\.$/ });
});

test("a host name is refused with the advice to resolve it, localhost is 127.0.0.1", () => {
  for (const name of ["example.org", "server-1", "my_host"]) {
    assert.throws(() => resolveEndpoint(`tcp://${name}:80`), (error) => {
      assert.ok(error instanceof IoError);
      assert.equal(error.code, "INVALID_ENDPOINT");
      assert.match(error.advice, /[Rr]esolve/);
      return true;
    });
  }
  for (const name of ["localhost", "LOCALHOST"]) {
    assert.equal(resolveEndpoint(`tcp://${name}:80`).text, "tcp://127.0.0.1:80");
  }
});

test("the scheme is case-insensitive, a scope is numeric", () => {
  assert.equal(resolveEndpoint("TCP://127.0.0.1:1").text, "tcp://127.0.0.1:1");
  const { scope, text } = resolveEndpoint("tcp://[fe80::1%42]:80");
  assert.equal(scope, 42);
  assert.equal(text, "tcp://[fe80::1%42]:80");
});

test("Unix sockets are named by path, or on Linux by a name behind an @", () => {
  for (
    const [given, text, path] of [
      ["unix:/run/a.sock", "unix:/run/a.sock", "/run/a.sock"],
      ["unix:///run/a.sock", "unix:/run/a.sock", "/run/a.sock"],
      ["unix:a.sock", "unix:a.sock", "a.sock"],
      ["UNIX:@name", "unix:@name", "@name"],
      ["unix://@name", "unix:@name", "@name"],
      ["unix:./@file", "unix:./@file", "./@file"],
    ]
  ) {
    const resolved = resolveEndpoint(given);
    assert.equal(resolved.text, text);
    assert.deepEqual(resolveEndpoint({ transport: "unix", path }), resolved);
  }
  const words = new Uint32Array(40);
  writeAddress(words, 1, resolveEndpoint("unix:@n\u00e4me"));
  assert.equal(formatAddress(readAddress(words, 1)), "unix:@n\u00e4me");
});

test("a path that no socket can have is refused", () => {
  for (const endpoint of ["unix:", "unix:@", "unix://host/path", "unix:a\0b", "unix://"]) {
    assert.equal(refusal(endpoint), "INVALID_ENDPOINT", endpoint);
  }
  for (const [start, longest] of [["", 107], ["@", 108], ["/", 107]] as const) {
    assert.equal(refusal(`unix:${start.padEnd(longest, "p")}`), null);
    assert.equal(refusal(`unix:${start.padEnd(longest + 1, "p")}`), "INVALID_ENDPOINT");
  }
  assert.equal(refusal({ transport: "unix" } as unknown as Endpoint), "INVALID_ENDPOINT");
  const path = 5 as unknown as string;
  assert.equal(refusal({ transport: "unix", path }), "INVALID_ENDPOINT");
});

test("both forms say the same", () => {
  for (const [host, bracketed] of [["127.0.0.1", "127.0.0.1"], ["::1", "[::1]"]]) {
    const fromObject = resolveEndpoint({ transport: "tcp", host, port: 7000 });
    assert.deepEqual(resolveEndpoint(`tcp://${bracketed}:7000`), fromObject);
  }
});

test("a bad object form is INVALID_ENDPOINT", () => {
  const good = { transport: "tcp", host: "127.0.0.1", port: 80 };
  const bad: unknown[] = [
    null,
    undefined,
    7,
    Symbol.iterator,
    {},
    [],
    { ...good, host: undefined },
    { ...good, host: 5 },
    { ...good, host: "[::1]" },
    { ...good, transport: undefined },
    ...[undefined, -1, 65_536, 1.5, NaN, "80", Infinity].map((port) => ({ ...good, port })),
  ];
  for (const endpoint of bad) assert.equal(refusal(endpoint as Endpoint), "INVALID_ENDPOINT");
});

const port = fc.nat(65_535);

test("the canonical form shortens the first of the longest runs of zeros", () => {
  const canonical = {
    "0:0:0:0:0:0:0:0": "::",
    "0:0:0:0:0:0:0:1": "::1",
    "1:0:0:0:0:0:0:0": "1::",
    "1:0:0:2:3:0:0:4": "1::2:3:0:0:4",
    "1:0:0:2:0:0:0:4": "1:0:0:2::4",
    "1:0:2:3:4:5:6:7": "1:0:2:3:4:5:6:7",
    "00AB::00Cd": "ab::cd",
    "::ffff:1.2.3.4": "::ffff:1.2.3.4",
    "::ffff:102:304": "::ffff:1.2.3.4",
    "1::1.2.3.4": "1::102:304",
  };
  for (const [given, expected] of Object.entries(canonical)) {
    assert.equal(resolveEndpoint(`tcp://[${given}]:1`).text, `tcp://[${expected}]:1`);
  }
});

test("every IPv4 address is read as the runtime reads it", () => {
  fc.assert(fc.property(fc.ipV4(), port, (host, port) => {
    const { family, bytes, port: read } = resolveEndpoint(`tcp://${host}:${port}`);
    assert.equal(family, 4);
    assert.equal(read, port);
    assert.equal(bytes.join("."), host);
  }));
});

test("every IPv6 address is read and written in its canonical form", () => {
  fc.assert(fc.property(fc.ipV6(), port, (host, port) => {
    const { family, bytes, text } = resolveEndpoint(`tcp://[${host}]:${port}`);
    assert.equal(family, 6);
    // The reader of URLs is the oracle. It writes mapped IPv4 addresses in hexadecimal, and Bun's
    // refuses some addresses.
    const url = `http://[${host}]/`;
    const hostname = URL.canParse(url) ? new URL(url).hostname : "";
    if (hostname !== "" && !/^\[::ffff:[0-9a-f]+:[0-9a-f]+\]$/.test(hostname)) {
      assert.equal(text, `tcp://${hostname}:${port}`);
    }
    assert.deepEqual(resolveEndpoint(text).bytes, bytes);
  }));
});

test("an address is one exactly if the runtime says so", () => {
  const characters = fc.constantFrom(..."0123456789abcdefF:.:.::");
  const host = fc.string({ unit: characters, maxLength: 24 });
  fc.assert(
    fc.property(host, (host) => {
      const v4 = refusal(`tcp://${host}:80`) === null;
      const v6 = refusal(`tcp://[${host}]:80`) === null;
      assert.equal(v4, net.isIPv4(host), host);
      assert.equal(v6, net.isIPv6(host), host);
    }),
    { numRuns: 2_000 },
  );
});

test("any string at all is an endpoint or an IoError", () => {
  const near = fc.tuple(fc.constantFrom("tcp://", "tcp:", "TCP://[", ""), fc.string()).map((
    parts,
  ) => parts.join(""));
  fc.assert(fc.property(fc.oneof(fc.string(), near), (endpoint) => void refusal(endpoint)), {
    numRuns: 1_000,
  });
  const object = fc.record({ transport: fc.anything(), host: fc.anything(), port: fc.anything() });
  fc.assert(fc.property(fc.oneof(object, fc.anything()), (endpoint) => {
    const code = refusal(endpoint as Endpoint);
    assert.ok(code === null || code === "INVALID_ENDPOINT" || code === "UNKNOWN_SCHEME");
  }));
});

test("addresses survive the way through shared memory", () => {
  const words = new Uint32Array(40);
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), port, fc.nat(), (host, port, scope) => {
      const scoped = host.includes(":") && scope > 0 ? `${host}%${scope}` : host;
      const endpoint = resolveEndpoint({ transport: "tcp", host: scoped, port });
      words.fill(0xffff_ffff);
      writeAddress(words, 3, endpoint);
      assert.equal(formatAddress(readAddress(words, 3)), endpoint.text);
    }),
  );
});
