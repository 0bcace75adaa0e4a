// Connections for tests: both ends on loops of the test, what happened on them as a list of words,
// and content that shows a lost, doubled or moved byte.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type {
  Connection,
  ConnectionHandlers,
  ConnectOptions,
  Endpoint,
  IoError,
  Listener,
  ListenOptions,
  Loop,
} from "../../mod.ts";
import { turnUntil } from "./drive.ts";

/** Where tests listen. */
export const anyPort = "tcp://127.0.0.1:0";

/** The same over IPv6. */
export const anyPort6 = "tcp://[::1]:0";

/** What happened on a connection, in order: `open`, `data`, `end`, `drain`, `close:null`. */
export class Recorder implements ConnectionHandlers {
  readonly events: string[] = [];
  /** The data so far, as text. */
  text = "";
  bytes = 0;
  conn: Connection | null = null;
  reason: IoError | null = null;

  /** `also`: what to do beside recording. */
  constructor(also: ConnectionHandlers = {}) {
    this.#also = also;
    // Without this handler the library closes by itself.
    if (also.end === undefined) this.end = undefined;
  }

  readonly #also: ConnectionHandlers;

  readonly open = (conn: Connection): void => {
    this.conn = conn;
    this.events.push("open");
    this.#also.open?.(conn);
  };

  readonly data: ConnectionHandlers["data"] = (conn, lease) => {
    this.bytes += lease.length;
    this.text += Buffer.from(lease.bytes).toString("latin1");
    if (this.events.at(-1) !== "data") this.events.push("data");
    this.#also.data?.(conn, lease);
  };

  end: ConnectionHandlers["end"] = (conn) => {
    this.events.push("end");
    this.#also.end?.(conn);
  };

  readonly drain = (conn: Connection): void => {
    this.events.push("drain");
    this.#also.drain?.(conn);
  };

  readonly close = (conn: Connection, error: IoError | null): void => {
    this.reason = error;
    this.events.push(`close:${error?.code ?? null}`);
    assert.equal(conn.state, "closed");
    this.#also.close?.(conn, error);
  };

  get isOpen(): boolean {
    return this.conn?.state === "open";
  }

  get isClosed(): boolean {
    return this.events.at(-1)?.startsWith("close:") === true;
  }
}

/** Both ends of a connection. */
export interface Pair {
  readonly server: Connection;
  readonly client: Connection;
}

/** What a pair is made of. */
export interface PairOptions {
  readonly server?: ConnectionHandlers;
  readonly client?: ConnectionHandlers;
  readonly listen?: ListenOptions;
  readonly connect?: ConnectOptions;
  readonly endpoint?: string;
}

/**
 * Opens a connection with both ends on `loop`; the listener is closed again. Handlers must be own
 * properties.
 */
export function openPair(loop: Loop, options: PairOptions = {}): Pair {
  const { server = {}, client = {}, listen, connect, endpoint = anyPort } = options;
  let accepted: Connection | null = null;
  let connected: Connection | null = null;
  const listener = loop.listen(endpoint, {
    ...server,
    open(conn): void {
      accepted = conn;
      server.open?.(conn);
    },
  }, listen);
  loop.connect(listener.address, {
    ...client,
    open(conn): void {
      connected = conn;
      client.open?.(conn);
    },
  }, connect);
  turnUntil(loop, () => accepted !== null && connected !== null, "both ends open");
  listener.close();
  turnUntil(loop, () => loop.stats().openListeners === 0, "the listener closed");
  return { server: accepted!, client: connected! };
}

/** Takes turns until all of them are closed. */
export function awaitClosed(loop: Loop, ...conns: Connection[]): void {
  turnUntil(loop, () => conns.every((conn) => conn.state === "closed"), "the connections closed");
}

/** An echo server on `loop`. A `full` would be a failure of the library, and of the test. */
export function listenEcho(
  loop: Loop,
  endpoint: string | Endpoint = anyPort,
  options: ListenOptions = {},
): Listener {
  return loop.listen(endpoint, {
    data(conn, lease): void {
      const result = conn.send(lease);
      if (result === "full") throw new Error("an echo was answered full");
    },
  }, options);
}

/** A prime, so that no buffer size divides it. */
const period = 65_521;
const block: Buffer = makeBlock();

function makeBlock(): Buffer {
  const bytes = Buffer.alloc(period * 2);
  let state = 1;
  for (let index = 0; index < period; index++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223 | 0;
    bytes[index] = bytes[index + period] = state >>> 24;
  }
  return bytes;
}

/** The stream of test content from `position` on: at most 65,521 bytes, not to be changed. */
export function contentAt(position: number, length: number): Uint8Array {
  const start = position % period;
  return block.subarray(start, start + length);
}

/** `length` bytes of test content from `position` on, in memory of their own. */
export function content(length: number, position = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += period) {
    bytes.set(contentAt(position + at, Math.min(period, length - at)), at);
  }
  return bytes;
}

/** Reads a stream of test content and fails at the first byte that is not the expected one. */
export class ContentReader {
  received = 0;

  read(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += period) {
      const part = bytes.subarray(at, at + period);
      if (Buffer.compare(part, contentAt(this.received, part.length)) !== 0) {
        assert.fail(`content differs within ${part.length} bytes from ${this.received} on`);
      }
      this.received += part.length;
    }
  }
}

/** Writes a stream of test content of `total` bytes, as far as there is room. */
export class ContentWriter {
  sent = 0;
  fulls = 0;
  readonly #total: number;
  readonly #part: number;

  constructor(total: number, part = 16_384) {
    this.#total = total;
    this.#part = part;
  }

  get isDone(): boolean {
    return this.sent === this.#total;
  }

  /** Sends until `full` or done; to be called again by the drain handler. */
  write(conn: Connection): void {
    while (!this.isDone) {
      const length = Math.min(this.#part, this.#total - this.sent);
      if (conn.send(contentAt(this.sent, length)) === "full") {
        this.fulls += 1;
        return;
      }
      this.sent += length;
    }
  }
}
