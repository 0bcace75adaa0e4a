/**
 * A listener in the shape of a `node:net` server, for code that expects one.
 *
 * Emits `listening`, `connection`, `error`, and `close` once it is closed and its last connection
 * has ended.
 *
 * @module
 */

import { EventEmitter } from "node:events";
import { nextTick } from "node:process";
import type { Endpoint, IpEndpoint } from "./endpoint.ts";
import { IoError } from "./io_error.ts";
import { parseHost } from "./ip_address.ts";
import type { Listener, ListenOptions } from "./listener.ts";
import type { Loop } from "./loop.ts";
import { type AddressInfo, describeAddress } from "./net_address.ts";
import { acceptInto, Socket } from "./net_socket.ts";
import { candidatesOf, openFirst } from "./named_address.ts";
import { signalOption } from "./options.ts";
import { loopOf } from "./shared_loop.ts";

/** Options of `createServer`. They go to each listener and each accepted connection, too. */
export interface NetServerOptions extends ListenOptions {
  /** Whether sockets may go on writing after their peer's end. Default false. */
  allowHalfOpen?: boolean;
  /** Whether sockets start paused. Default false. */
  pauseOnConnect?: boolean;
  /** The loop to live on; by default the one that the thread shares. */
  loop?: Loop;
}

/** Options of `server.listen`. */
export interface NetListenOptions {
  /** The port; 0, the default, takes a free one. */
  port?: number;
  /**
   * An address or a name of this machine, of which the first address that is here is taken. Default
   * `::`, for IPv6 and IPv4; without IPv6 `0.0.0.0`.
   */
  host?: string;
  /** A Unix socket instead of host and port. */
  path?: string;
  /** Connections that may wait to be accepted. */
  backlog?: number;
  /** Keeps a listener of `::` from accepting IPv4. */
  ipv6Only?: boolean;
  /** Closes the server. */
  signal?: AbortSignal;
}

/** What `server.listen` takes: options, a port with host and backlog, or a path. */
export type ListenArguments =
  | [options: NetListenOptions, onListening?: () => void]
  | [port?: number, onListening?: () => void]
  | [port: number, host: string, onListening?: () => void]
  | [port: number, host: string, backlog: number, onListening?: () => void]
  | [path: string, onListening?: () => void];

/**
 * A server of `node:net`, on a loop of this library.
 *
 * @example
 * ```ts
 * import { createServer } from "@twinpoll/twinpoll/net";
 *
 * const server = createServer((socket) => void socket.end("the time"));
 * server.listen({ port: 0, host: "127.0.0.1" }, () => {
 *   console.log(server.address()); // { address: "127.0.0.1", family: "IPv4", port: 41231 }
 *   server.close();
 * });
 * ```
 */
export class Server extends EventEmitter implements AsyncDisposable {
  /** True between `listening` and `close()`. */
  listening = false;
  /** Connections beyond so many are closed at once, with `drop`; undefined for no limit. */
  maxConnections: number | undefined = undefined;

  readonly #options: NetServerOptions;
  readonly #sockets = new Set<Socket>();
  #listener: Listener | null = null;
  /** Ends the lookup of the name that is to be listened at. */
  #lookup: AbortController | null = null;
  #path: string | null = null;
  #isRef = true;

  /** A server that does not listen yet. */
  constructor(
    options: NetServerOptions | ((socket: Socket) => void) = {},
    onConnection?: (socket: Socket) => void,
  ) {
    super();
    const listener = typeof options === "function" ? options : onConnection;
    this.#options = typeof options === "function" ? {} : options;
    if (listener !== undefined) this.on("connection", listener);
  }

  /**
   * Listens; `listening` is emitted when it does, `error` when it cannot.
   *
   * @param args Options, or a port with host and backlog, or the path of a Unix socket; then
   *   a listener for `listening`.
   * @returns This server.
   * @throws {IoError} `BUSY` when it listens already.
   */
  listen(...args: ListenArguments): this {
    if (this.#isBusy) {
      throw new IoError("BUSY", "listen: the server listens already", {
        advice: "Make a server for each address.",
      });
    }
    const { options, onListening } = listenArguments(args);
    const signal = signalOption(options.signal);
    if (onListening !== undefined) this.once("listening", onListening);
    const { host, path } = options;
    if (path === undefined && host !== undefined && parseHost(host) === null) {
      void this.#openNamed(host, options);
    } else if (!this.#tryToOpen(() => this.#open(options))) {
      return this;
    }
    if (signal?.aborted === true) this.close();
    else signal?.addEventListener("abort", () => void this.close(), { once: true });
    return this;
  }

  /** The bound address, the path of a Unix socket, or null before it listens. */
  address(): AddressInfo | string | null {
    if (this.#listener === null) return null;
    return this.#path ?? describeAddress(() => this.#listener?.address) ?? null;
  }

  /**
   * Stops accepting. `close` is emitted once the last connection has ended.
   *
   * @param onClose A listener for it; gets an error when the server did not listen.
   * @returns This server.
   */
  close(onClose?: (error?: Error) => void): this {
    if (!this.#isBusy) {
      const error = new IoError("STALE_HANDLE", "close: the server does not listen");
      if (onClose !== undefined) nextTick(() => onClose(error));
      return this;
    }
    if (onClose !== undefined) this.once("close", () => onClose());
    this.#lookup?.abort();
    this.#lookup = null;
    this.#listener?.close();
    this.#listener = null;
    this.listening = false;
    this.#closeIfQuiet();
    return this;
  }

  /** Tells the number of open connections. */
  getConnections(tell: (error: Error | null, count: number) => void): this {
    nextTick(() => tell(null, this.#sockets.size));
    return this;
  }

  /** Lets the server keep the process alive, which is how it starts. */
  ref(): this {
    this.#isRef = true;
    this.#listener?.ref();
    return this;
  }

  /** Lets the process end although the server listens. */
  unref(): this {
    this.#isRef = false;
    this.#listener?.unref();
    return this;
  }

  /** Closes, and waits for the last connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isBusy) await new Promise<void>((resolve) => this.close(() => resolve()));
  }

  /** It listens, or is about to. */
  get #isBusy(): boolean {
    return this.#listener !== null || this.#lookup !== null;
  }

  /** Emits what became of it; whether it listens. */
  #tryToOpen(open: () => void): boolean {
    try {
      open();
    } catch (error) {
      nextTick(() => this.emit("error", error));
      return false;
    }
    nextTick(() => {
      if (this.listening) this.emit("listening");
    });
    return true;
  }

  /** Listens at the first address of a name that is this machine's, unless it is closed before. */
  async #openNamed(host: string, options: NetListenOptions): Promise<void> {
    const lookup = new AbortController();
    this.#lookup = lookup;
    const endpoint = { transport: "tcp", host, port: Number(options.port ?? 0) } as const;
    let open: () => void;
    try {
      const loop = loopOf(this.#options.loop);
      const asking = { loop, signal: lookup.signal };
      const candidates = await candidatesOf<Endpoint>(endpoint, ["tcp"], asking);
      open = (): void => {
        openFirst(candidates, (where) => {
          this.#open({ ...options, host: (where as IpEndpoint).host });
        });
      };
    } catch (error) {
      open = (): never => {
        throw error;
      };
    }
    if (this.#lookup !== lookup) return;
    this.#lookup = null;
    this.#tryToOpen(open);
  }

  #open(options: NetListenOptions): void {
    const { port = 0, host, path, backlog, ipv6Only } = options;
    const all: ListenOptions = { ...this.#options };
    if (backlog !== undefined) all.backlog = backlog;
    if (ipv6Only !== undefined) all.ipv6Only = ipv6Only;
    const at = (host: string): Endpoint => ({ transport: "tcp", host, port: Number(port) });
    if (path !== undefined) this.#listener = this.#listen({ transport: "unix", path }, all);
    else if (host !== undefined) this.#listener = this.#listen(at(host), all);
    else this.#listener = this.#listenEverywhere(at, all);
    if (!this.#isRef) this.#listener.unref();
    this.#path = path ?? null;
    this.listening = true;
  }

  #listen(endpoint: Endpoint, options: ListenOptions): Listener {
    return loopOf(this.#options.loop).listen(endpoint, {
      open: (conn) => this.#accept(acceptInto(new Socket(this.#options), conn)),
    }, options);
  }

  /** On a machine without IPv6 for IPv4 alone. */
  #listenEverywhere(at: (host: string) => Endpoint, options: ListenOptions): Listener {
    try {
      return this.#listen(at("::"), options);
    } catch (error) {
      const { code } = error as IoError;
      if (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL") throw error;
      return this.#listen(at("0.0.0.0"), options);
    }
  }

  #accept(socket: Socket): void {
    const { maxConnections } = this;
    if (maxConnections !== undefined && this.#sockets.size >= maxConnections) {
      this.emit("drop", { ...socket.address() });
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      this.#closeIfQuiet();
    });
    if (this.#options.pauseOnConnect === true) socket.pause();
    this.emit("connection", socket);
  }

  #closeIfQuiet(): void {
    if (this.#listener !== null || this.#sockets.size > 0) return;
    nextTick(() => this.emit("close"));
  }
}

interface Listening {
  readonly options: NetListenOptions;
  readonly onListening: (() => void) | undefined;
}

function listenArguments(args: readonly unknown[]): Listening {
  const last = args.at(-1);
  const onListening = typeof last === "function" ? last as () => void : undefined;
  const [first, host, backlog] = args;
  if (typeof first === "object" && first !== null) return { options: first, onListening };
  if (typeof first === "string" && !/^\d+$/.test(first)) {
    return { options: { path: first }, onListening };
  }
  return {
    options: {
      port: typeof first === "function" ? undefined : first as number | undefined,
      host: typeof host === "string" ? host : undefined,
      backlog: typeof backlog === "number" ? backlog : undefined,
    },
    onListening,
  };
}
