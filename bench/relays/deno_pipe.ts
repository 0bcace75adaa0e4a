// A TCP relay over Deno.listen and Deno.connect: their streams piped into each other. Runs under
// Deno only.

import { announce, portArgument } from "../servers/protocol.ts";
import { targetArgument } from "./arguments.ts";

interface DenoConnection {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  setNoDelay(on: boolean): void;
}

interface DenoListener extends AsyncIterable<DenoConnection> {
  readonly addr: { readonly port: number };
}

interface Endpoint {
  hostname: string;
  port: number;
}

declare const Deno: {
  listen(options: Endpoint): DenoListener;
  connect(options: Endpoint): Promise<DenoConnection>;
};

const target = targetArgument();

async function serve(client: DenoConnection): Promise<void> {
  try {
    client.setNoDelay(true);
    const upstream = await Deno.connect({ hostname: "127.0.0.1", port: target });
    upstream.setNoDelay(true);
    await Promise.all([
      client.readable.pipeTo(upstream.writable),
      upstream.readable.pipeTo(client.writable),
    ]);
  } catch {
    // A peer is gone; the streams close both connections.
  }
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: portArgument() });
announce(listener.addr.port);
for await (const client of listener) void serve(client);
