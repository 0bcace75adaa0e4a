// TCP echo over Deno.listen: one read-and-write loop per connection. Runs under Deno only.

import { announce, portArgument } from "./protocol.ts";

interface DenoConnection {
  read(buffer: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  setNoDelay(on: boolean): void;
  close(): void;
}

interface DenoListener extends AsyncIterable<DenoConnection> {
  readonly addr: { readonly port: number };
}

declare const Deno: { listen(options: { hostname: string; port: number }): DenoListener };

async function serve(connection: DenoConnection): Promise<void> {
  const buffer = new Uint8Array(16 * 1024);
  try {
    connection.setNoDelay(true);
    for (;;) {
      const received = await connection.read(buffer);
      if (received === null) break;
      let sent = 0;
      while (sent < received) sent += await connection.write(buffer.subarray(sent, received));
    }
  } catch {
    // The peer is gone.
  } finally {
    connection.close();
  }
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: portArgument() });
announce(listener.addr.port);
for await (const connection of listener) void serve(connection);
