// A TCP relay over Bun.listen and Bun.connect, as its documentation asks for: what `write` does not
// take is kept and written on `drain`, and the other side is not read meanwhile. Runs under Bun
// only.

import { announce, portArgument } from "../servers/protocol.ts";
import { targetArgument } from "./arguments.ts";

/** One side: where its bytes go, and what did not go yet. */
interface Side {
  other: BunSocket | undefined;
  waiting: Uint8Array | undefined;
}

interface BunSocket {
  data: Side;
  write(bytes: Uint8Array): number;
  pause(): void;
  resume(): void;
  end(): void;
  setNoDelay(on: boolean): void;
}

interface BunHandlers {
  open?(socket: BunSocket): void;
  data(socket: BunSocket, bytes: Uint8Array): void;
  drain(socket: BunSocket): void;
  close(socket: BunSocket): void;
  error(socket: BunSocket, error: Error): void;
}

interface BunOptions {
  hostname: string;
  port: number;
  data?: Side;
  socket: BunHandlers;
}

declare const Bun: {
  listen(options: BunOptions): { readonly port: number };
  connect(options: BunOptions): Promise<BunSocket>;
};

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

/** Sends on what came of `socket`, and stops reading it while some of that waits. */
function pass(socket: BunSocket, bytes: Uint8Array): void {
  const side = socket.data;
  if (side.waiting !== undefined) {
    side.waiting = join(side.waiting, bytes);
    return;
  }
  const written = side.other === undefined ? 0 : Math.max(0, side.other.write(bytes));
  if (written === bytes.length) return;
  // The bytes are Bun's own only until the handler returns.
  side.waiting = bytes.slice(written);
  socket.pause();
}

function goOn(socket: BunSocket): void {
  const from = socket.data.other;
  const waiting = from?.data.waiting;
  if (from === undefined || waiting === undefined) return;
  const written = Math.max(0, socket.write(waiting));
  if (written < waiting.length) {
    from.data.waiting = waiting.subarray(written);
    return;
  }
  from.data.waiting = undefined;
  from.resume();
}

const handlers: BunHandlers = {
  data: pass,
  drain: goOn,
  close: (socket) => socket.data.other?.end(),
  error(): void {
    // The peer is gone; Bun closes the socket.
  },
};

const target = targetArgument();

const server = Bun.listen({
  hostname: "127.0.0.1",
  port: portArgument(),
  socket: {
    ...handlers,
    open(client): void {
      client.setNoDelay(true);
      client.data = { other: undefined, waiting: undefined };
      const data: Side = { other: client, waiting: undefined };
      void Bun.connect({
        hostname: "127.0.0.1",
        port: target,
        data,
        socket: {
          ...handlers,
          open(upstream): void {
            upstream.setNoDelay(true);
            client.data.other = upstream;
            goOn(upstream);
          },
        },
      });
    },
  },
});
announce(server.port);
