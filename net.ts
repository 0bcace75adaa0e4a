/**
 * Sockets and servers in the shape of `node:net`, on loops of this library: for code that expects
 * those, such as the `http` module of Node, also on Deno and Bun.
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
