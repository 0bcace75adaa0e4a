/**
 * Endpoints: where to listen and what to connect to.
 *
 * A string such as `tcp://[::1]:7000` and an object say the same. Nothing here waits: a name is
 * left to who can look it up, and elsewhere the only one is `localhost`, which is 127.0.0.1.
 *
 * @module
 */

import { IoError } from "./io_error.ts";
import { wrongName } from "./host_name.ts";
import { describeHost, isLocalhost, parseHost } from "./ip_address.ts";
import { address_bytes_max, AddressFamily } from "./native/abi.ts";
import { show } from "./show.ts";
import {
  encodePath,
  formatAddress,
  type NativeAddress,
  type SocketAddress,
  type Transport,
} from "./socket_address.ts";

/** The object form of an IP endpoint: `{ transport: "tcp", host: "127.0.0.1", port: 7000 }`. */
export interface IpEndpoint {
  /** What is spoken there. */
  readonly transport: "tcp" | "udp";
  /**
   * An IPv4 address, an IPv6 address without brackets (`fe80::1%2` with a numeric scope), or a
   * name. As an own address `localhost` is 127.0.0.1, and other names are for what waits: the
   * functions `listen` and `bind`. For `loop.listen` and `loop.bind` look them up before, with
   * `loop.resolve`.
   */
  readonly host: string;
  /** 0 to 65,535; 0 listens on a free port and cannot be connected to. */
  readonly port: number;
}

/** The object form of an endpoint without a port: `{ transport: "unix", path: "/run/a.sock" }`. */
export interface PathEndpoint {
  /** What is spoken there. */
  readonly transport: "unix" | "unix+datagram" | "inproc";
  /**
   * A path of at most 107 bytes; a name of Linux behind an `@` (`@name`, in no file system); for
   * `inproc` any name of at most 108 bytes.
   */
  readonly path: string;
}

/** The object form of an endpoint. */
export type Endpoint = IpEndpoint | PathEndpoint | SocketAddress;

/** An endpoint as native code takes it. */
export interface ResolvedEndpoint extends NativeAddress {
  readonly transport: Transport;
  /** Canonical text, for error messages. */
  readonly text: string;
  /** A name that stands in the address's place, which is then of no family; else empty. */
  readonly name: string;
}

/** The transports of connections. */
export const streamTransports: readonly Transport[] = ["tcp", "unix", "inproc"];

/** The form of an endpoint per transport, for advice. */
const forms: Readonly<Record<Transport, string>> = {
  "tcp": "tcp://host:port",
  "udp": "udp://host:port",
  "unix": "unix:/path or unix:@name",
  "unix+datagram": "unix+datagram:/path or unix+datagram:@name",
  "inproc": "inproc://name",
};

const noBytes = new Uint8Array(0);

interface Parts {
  readonly transport: Transport;
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

/**
 * Reads either form, of one of `transports`. Throws `INVALID_ENDPOINT`, or `UNKNOWN_SCHEME` for
 * another transport.
 *
 * @param names Whether a name may stand in an address's place.
 */
export function resolveEndpoint(
  endpoint: string | Endpoint,
  transports: readonly Transport[] = streamTransports,
  names = false,
): ResolvedEndpoint {
  const parts = typeof endpoint === "string"
    ? splitEndpoint(endpoint, transports)
    : checkObjectForm(endpoint, transports);
  return isIp(parts.transport) ? resolveIp(endpoint, parts, names) : resolvePath(endpoint, parts);
}

function isIp(transport: string): boolean {
  return transport === "tcp" || transport === "udp";
}

function resolveIp(endpoint: string | Endpoint, parts: Parts, names: boolean): ResolvedEndpoint {
  const { transport, host, port } = parts;
  const address = parseHost(host);
  if (names && (address === null || isLocalhost(host))) return nameOf(endpoint, parts);
  if (address === null) {
    const advice = wrongName(host) === null
      ? "Look the name up first, with loop.resolve, and pass an address, or use the functions " +
        "listen and bind, which do that."
      : "Use an address such as 127.0.0.1 or [::1].";
    throw invalid(endpoint, `${JSON.stringify(host)} is not an address`, advice);
  }
  const { bytes, scope } = address;
  const family = address.family === 6 ? AddressFamily.ipv6 : AddressFamily.ipv4;
  const text = formatAddress({ transport, port, path: "", ...describeHost(address) });
  return { text, name: "", transport, family, port, scope, bytes };
}

function nameOf(endpoint: string | Endpoint, parts: Parts): ResolvedEndpoint {
  const { transport, host, port } = parts;
  const why = wrongName(host);
  if (why !== null) {
    throw invalid(
      endpoint,
      `${JSON.stringify(host)} is neither an address nor a host name: ${why}`,
      "Use a name such as example.com, or an address such as 127.0.0.1 or [::1].",
    );
  }
  const text = `${transport}://${host}:${port}`;
  return { text, name: host, transport, family: 0, port, scope: 0, bytes: noBytes };
}

function resolvePath(endpoint: string | Endpoint, parts: Parts): ResolvedEndpoint {
  const { transport, path } = parts;
  const isUnix = transport !== "inproc";
  const family = isUnix ? AddressFamily.unix : AddressFamily.inproc;
  const bytes = isUnix ? encodePath(path) : encodePath(`.${path}`).subarray(1);
  const isName = !isUnix || path.startsWith("@");
  if (path === "" || path === "@") {
    throw invalid(endpoint, "it names nothing", `Write ${forms[transport]}.`);
  }
  // A path ends with a zero byte.
  const longest = address_bytes_max - (isName ? 0 : 1);
  if (bytes.length > longest) {
    const limit = isUnix && isName ? longest - 1 : longest;
    const what = isUnix ? "path" : "name";
    throw invalid(
      endpoint,
      `its ${what} has ${bytes.length - (isUnix && isName ? 1 : 0)} bytes`,
      `Use a ${what} of at most ${limit} bytes, for instance a relative path.`,
    );
  }
  if (path.includes("\0")) {
    throw invalid(endpoint, "it has a zero byte in it", "Write a name of Linux with an @.");
  }
  const text = formatAddress({
    transport,
    family: isUnix ? "unix" : "inproc",
    host: "",
    port: 0,
    path,
  });
  return { text, name: "", transport, family, port: 0, scope: 0, bytes };
}

function splitEndpoint(endpoint: string, transports: readonly Transport[]): Parts {
  const scheme = /^([a-z][a-z0-9+.-]*):(.*)$/is.exec(endpoint);
  const expected = transports.map((transport) => forms[transport]).join(", ");
  if (scheme === null) throw invalid(endpoint, "it has no scheme", `Write ${expected}.`);
  const rest = scheme[2];
  const transport = checkTransport(endpoint, scheme[1].toLowerCase(), transports);
  if (!isIp(transport)) return { transport, host: "", port: 0, path: splitPath(endpoint, rest) };
  const authority = /^\/\/(?:\[([^\]]*)\]|([^:[\]/]*)):([0-9]{1,5})$/.exec(rest);
  if (authority === null) {
    throw invalid(
      endpoint,
      `it is not of the form ${forms[transport]}`,
      "Give host and port and nothing after them; put an IPv6 address in brackets.",
    );
  }
  const [, bracketed, plain, port] = authority;
  if (bracketed !== undefined && !bracketed.includes(":")) {
    throw invalid(endpoint, "only IPv6 addresses stand in brackets", "Leave the brackets out.");
  }
  if (Number(port) > 65_535) {
    throw invalid(endpoint, `port ${port} is too large`, "Use a port from 0 to 65535.");
  }
  return { transport, host: bracketed ?? plain, port: Number(port), path: "" };
}

/** What stands behind the colon; behind two slashes only an absolute path or a name. */
function splitPath(endpoint: string, rest: string): string {
  if (!rest.startsWith("//")) {
    if (/^inproc:/i.test(endpoint)) {
      throw invalid(endpoint, "it is not of the form inproc://name", "Write inproc://name.");
    }
    return rest;
  }
  const path = rest.slice(2);
  if (/^inproc:/i.test(endpoint) || path.startsWith("/") || path.startsWith("@")) return path;
  throw invalid(
    endpoint,
    "a Unix socket has no host",
    "Write unix:/absolute/path, unix:relative/path or unix:@name.",
  );
}

function checkTransport(
  endpoint: string | Endpoint,
  transport: string,
  transports: readonly Transport[],
): Transport {
  const found = transports.find((known) => known === transport);
  if (found !== undefined) return found;
  const message = `endpoint ${showEndpoint(endpoint)}: no transport ${transport} here`;
  const expected = transports.map((known) => forms[known]).join(", ");
  const otherwise = Object.hasOwn(forms, transport)
    ? " Streams have listen and connect, datagrams have bind."
    : "";
  throw new IoError("UNKNOWN_SCHEME", message, { advice: `Use ${expected}.${otherwise}` });
}

function checkObjectForm(endpoint: Endpoint, transports: readonly Transport[]): Parts {
  if (typeof endpoint !== "object" || endpoint === null) {
    throw new IoError("INVALID_ENDPOINT", `an endpoint cannot be ${show(endpoint)}`, {
      advice: 'Pass "tcp://host:port" or { transport: "tcp", host, port }.',
    });
  }
  const { transport, host = "", port = 0, path = "" } = endpoint as Partial<SocketAddress>;
  if (typeof transport !== "string") {
    throw invalid(endpoint, "transport must be a string", "Give it as a string.");
  }
  const known = checkTransport(endpoint, transport, transports);
  if (!isIp(known)) {
    if (typeof path === "string") return { transport: known, host: "", port: 0, path };
    throw invalid(endpoint, "path must be a string", "Give it as a string.");
  }
  if (typeof host !== "string" || host === "") {
    throw invalid(endpoint, "host must be a string", "Give it as a string.");
  }
  const given = (endpoint as IpEndpoint).port;
  if (!(Number.isInteger(given) && given >= 0 && given <= 65_535)) {
    throw invalid(endpoint, `port ${show(given)} is not a port`, "Use an integer from 0 to 65535.");
  }
  return { transport: known, host, port, path: "" };
}

function invalid(endpoint: string | Endpoint, why: string, advice: string): IoError {
  return new IoError("INVALID_ENDPOINT", `endpoint ${showEndpoint(endpoint)}: ${why}`, { advice });
}

function showEndpoint(endpoint: unknown): string {
  if (typeof endpoint !== "object" || endpoint === null) return show(endpoint);
  const { transport, host, port, path } = endpoint as Partial<Record<keyof SocketAddress, unknown>>;
  if (path !== undefined && path !== "") {
    return `{ transport: ${show(transport)}, path: ${show(path)} }`;
  }
  return `{ transport: ${show(transport)}, host: ${show(host)}, port: ${show(port)} }`;
}
