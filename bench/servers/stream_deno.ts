// One-way streams over Deno.listen, as `bench/native/stream.zig` asks for them. Runs under Deno
// only.

import { announce, portArgument } from "./protocol.ts";
import { answer, isDownload, messageBytes, pattern } from "./stream_protocol.ts";

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

const message = pattern();

async function writeAll(connection: DenoConnection, bytes: Uint8Array): Promise<void> {
  let sent = 0;
  while (sent < bytes.length) sent += await connection.write(bytes.subarray(sent));
}

async function serve(connection: DenoConnection): Promise<void> {
  const buffer = new Uint8Array(messageBytes);
  try {
    connection.setNoDelay(true);
    const first = await connection.read(buffer) ?? 0;
    if (first > 0 && isDownload(buffer[0])) { for (;;) await writeAll(connection, message); }
    let bytes = Math.max(0, first - 1);
    for (;;) {
      const received = await connection.read(buffer);
      if (received === null) break;
      bytes += received;
    }
    await writeAll(connection, answer(bytes));
  } catch {
    // The peer is gone.
  } finally {
    connection.close();
  }
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: portArgument() });
announce(listener.addr.port);
for await (const connection of listener) void serve(connection);
