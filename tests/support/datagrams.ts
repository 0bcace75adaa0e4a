// Datagram sockets for tests: what happened on them in order, and places for Unix sockets.

import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type {
  DatagramHandlers,
  DatagramOptions,
  DatagramSocket,
  Endpoint,
  IoError,
  Loop,
  LoopOptions,
  SocketAddress,
} from "../../mod.ts";
import { testLoop } from "./backends.ts";
import type { Skip } from "./record.ts";

/** Where tests bind. */
export const anyUdp = "udp://127.0.0.1:0";

/** One datagram that arrived. */
export interface Arrived {
  readonly text: string;
  readonly length: number;
  readonly from: SocketAddress;
}

/** A socket and what happened on it. */
export class Mailbox {
  readonly socket: DatagramSocket;
  readonly arrived: Arrived[] = [];
  /** `message`, `drain`, `error:CODE`, `close:CODE`, in order; the same word in a row once. */
  readonly events: string[] = [];
  readonly errors: IoError[] = [];

  constructor(
    loop: Loop,
    endpoint: string | Endpoint = anyUdp,
    options: DatagramOptions = {},
    also: DatagramHandlers = {},
  ) {
    this.socket = loop.bind(endpoint, {
      message: (socket, lease, source): void => {
        const text = Buffer.from(lease.bytes).toString("latin1");
        this.arrived.push({ text, length: lease.length, from: source.address });
        this.#note("message");
        also.message?.(socket, lease, source);
      },
      drain: (socket): void => {
        this.#note("drain");
        also.drain?.(socket);
      },
      error: (socket, error): void => {
        this.errors.push(error);
        this.#note(`error:${error.code}`);
        also.error?.(socket, error);
      },
      close: (socket, error): void => {
        this.#note(`close:${error?.code ?? null}`);
        also.close?.(socket, error);
      },
    }, options);
  }

  get address(): SocketAddress {
    return this.socket.localAddress;
  }

  get texts(): string[] {
    return this.arrived.map(({ text }) => text);
  }

  get isClosed(): boolean {
    return this.events.at(-1)?.startsWith("close:") === true;
  }

  #note(event: string): void {
    if (this.events.at(-1) !== event) this.events.push(event);
  }
}

/** A test per row that has datagram sockets. */
export function testDatagrams(
  name: string,
  body: (loop: Loop) => void | Promise<void>,
  options: LoopOptions = {},
  skip: Skip = false,
): void {
  testLoop(name, body, options, { skip, needs: "datagrams" });
}

/** Runs `body` with a folder for Unix sockets, which is removed again. */
export function withFolder(body: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "twinpoll-"));
  try {
    body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
