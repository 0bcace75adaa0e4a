/**
 * Sockets and servers in the shape of `node:net`, on loops of this library: for code that expects
 * those, such as the `http` module of Node, also on Deno and Bun.
 *
 * What differs from `node:net`:
 *
 * - Errors are `IoError`: `errno` is positive, and there is neither `address` nor `port`. A name
 *   that is not found is `NAME_NOT_FOUND`. A port or path that cannot be is an `error` event with
 *   `INVALID_ENDPOINT`, not an exception. Listening or connecting twice throws `BUSY`; closing a
 *   server that does not listen tells `STALE_HANDLE`.
 * - `destroy(error)` resets the connection. Without an error it is closed in order, and `close`
 *   does not wait for the peer. After an `error` the `close` follows in the same tick.
 * - The `signal` of `connect` counts until the socket is connected.
 * - Classes are not those of `node:net`: `instanceof net.Socket` is false, and a parameter of that
 *   type needs a cast.
 * - There are no `lookup` and `connectionAttempt` events, no `socket.server`, no default export
 *   (`import * as net`), and none of `BlockList`, `SocketAddress` and `isIP`, which `node:net` has.
 *
 * @example HTTP over a loop
 * ```ts
 * import http from "node:http";
 * import { type AddressInfo, connect, createServer } from "@twinpoll/twinpoll/net";
 *
 * const pages = http.createServer((_request, response) => void response.end("hello"));
 * const server = createServer((socket) => void pages.emit("connection", socket));
 * server.listen(0, "127.0.0.1", () => {
 *   const { port } = server.address() as AddressInfo;
 *   const createConnection = () => connect(port, "127.0.0.1");
 *   http.get({ createConnection, path: "/" }, (response) => {
 *     console.log(response.statusCode); // 200
 *     response.resume();
 *     server.close();
 *   });
 * });
 * ```
 *
 * @module
 */

import { type NetServerOptions, Server } from "./src/net_server.ts";
import { Socket, type SocketConnectArguments } from "./src/net_socket.ts";

export type { AddressInfo } from "./src/net_address.ts";
export type { ListenArguments, NetListenOptions, NetServerOptions } from "./src/net_server.ts";
export type {
  SocketConnectArguments,
  SocketConnectOptions,
  SocketOptions,
} from "./src/net_socket.ts";
export { Server, Socket };

/**
 * A server that does not listen yet.
 *
 * @param options Of the server and its sockets, or the listener.
 * @param onConnection A listener for `connection`.
 */
export function createServer(
  options?: NetServerOptions | ((socket: Socket) => void),
  onConnection?: (socket: Socket) => void,
): Server {
  return new Server(options, onConnection);
}

/**
 * A socket that connects.
 *
 * @param args As `socket.connect` takes them; options are those of the socket, too.
 */
export function connect(...args: SocketConnectArguments): Socket {
  const [first] = args;
  return new Socket(typeof first === "object" ? first : {}).connect(...args);
}

/** Same as {@linkcode connect}. */
export const createConnection: typeof connect = connect;
