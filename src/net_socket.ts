/**
 * A connection in the shape of a `node:net` socket, for code that expects one.
 *
 * A `Duplex` over a connection of layer 0. Invariants: bytes that are read are copied once, into
 * a buffer of their own; the connection is paused while the `Duplex` is full; `destroy()` without
 * an error sends what was taken and closes in order, with one it resets.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import type { Connection, ConnectionHandlers, ConnectOptions } from "./connection.ts";
import type { ConnectionHandle } from "./connection_handle.ts";
import type { Endpoint } from "./endpoint.ts";
import { IdleTimer } from "./idle_timer.ts";
import { IoError } from "./io_error.ts";
import type { Lease } from "./lease.ts";
import type { Loop } from "./loop.ts";
import { type AddressInfo, describeAddress } from "./net_address.ts";
import { Outgoing } from "./outgoing.ts";
import { loopOf } from "./shared_loop.ts";
import { show } from "./show.ts";
import type { ConnectionSettings } from "./socket_control.ts";

/** Options of `new Socket` and, with the address, of `connect`. */
export interface SocketOptions {
  /** Whether writing goes on after the peer's end. Default false: it ends as well. */
  allowHalfOpen?: boolean;
  /** The loop to live on; by default the one that the thread shares. */
  loop?: Loop;
}

/** Options of `connect`: where to, and how. */
export interface SocketConnectOptions extends SocketOptions, ConnectOptions {
  /** The port, unless there is a path. */
  port?: number | string;
  /** An address or a name. Default `localhost`, which is both loopback addresses. */
  host?: string;
  /** A Unix socket instead of host and port. */
  path?: string;
  /** As `setTimeout` takes it. */
  timeout?: number;
}

/** What `socket.connect` takes: options, a port with its host, or a path. */
export type SocketConnectArguments =
  | [options: SocketConnectOptions, onConnect?: () => void]
  | [port: number, onConnect?: () => void]
  | [port: number, host: string, onConnect?: () => void]
  | [path: string, onConnect?: () => void];

/** Makes a fresh socket that of an accepted connection. */
export let acceptInto: (socket: Socket, conn: Connection) => Socket;

/**
 * A socket of `node:net`, on a loop of this library.
 *
 * @example
 * ```ts
 * import { type AddressInfo, connect, createServer } from "@twinpoll/twinpoll/net";
 *
 * const server = createServer((socket) => socket.pipe(socket));
 * server.listen(0, "127.0.0.1", () => {
 *   const { port } = server.address() as AddressInfo;
 *   const socket = connect(port, "127.0.0.1", () => socket.end("hello"));
 *   socket.on("data", (data) => console.log(String(data))); // hello
 *   socket.on("close", () => server.close());
 * });
 * ```
 */
export class Socket extends Duplex {
  /** True until it is connected. */
  connecting = false;
  /** Bytes received. */
  bytesRead = 0;
  /** Bytes taken for sending. */
  bytesWritten = 0;
  /** The idle time of `setTimeout`, in milliseconds; undefined before. */
  timeout: number | undefined = undefined;

  readonly #loop: Loop | undefined;
  #conn: Connection | null = null;
  #outgoing: Outgoing | null = null;
  #idle: IdleTimer | null = null;
  #isRef = true;
  /** What is to be set once the connection is open. */
  readonly #settings: ConnectionSettings = {};

  /** A socket that is not connected yet. */
  constructor(options: SocketOptions = {}) {
    super({ allowHalfOpen: options.allowHalfOpen === true });
    this.#loop = options.loop;
  }

  /**
   * The connection of layer 0, for what this shape does not know; null before there is one. Once a
   * relay has it nothing is read or written here: `end()` ends this side of the socket only, since
   * the relay ends the direction behind what it sends there; a write is an `error` (`BUSY`);
   * `destroy()` closes the relay; `close` follows its end.
   */
  get connection(): Connection | null {
    return this.#conn;
  }

  /** True before `connect` and until it has succeeded. */
  get pending(): boolean {
    return this.#conn === null || this.connecting;
  }

  /** The state as a word. */
  get readyState(): "opening" | "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.connecting) return "opening";
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  /** The peer's address, unless it is not known. */
  get remoteAddress(): string | undefined {
    return this.#remote()?.address;
  }

  /** The peer's port. */
  get remotePort(): number | undefined {
    return this.#remote()?.port;
  }

  /** `IPv4` or `IPv6`. */
  get remoteFamily(): string | undefined {
    return this.#remote()?.family;
  }

  /** This side's address, unless it is not known. */
  get localAddress(): string | undefined {
    return this.#local()?.address;
  }

  /** This side's port. */
  get localPort(): number | undefined {
    return this.#local()?.port;
  }

  /** `IPv4` or `IPv6`. */
  get localFamily(): string | undefined {
    return this.#local()?.family;
  }

  /** This side's address; empty when it has none. */
  address(): Partial<AddressInfo> {
    return this.#local() ?? {};
  }

  /**
   * Connects; `connect` and `ready` are emitted when it has succeeded, `error` when not.
   *
   * @param args Options, or a port with its host, or the path of a Unix socket; then a listener
   *   for `connect`.
   * @returns This socket.
   * @throws {IoError} `BUSY` when it was connected already.
   */
  connect(...args: SocketConnectArguments): this {
    if (this.#conn !== null) {
      throw new IoError("BUSY", "connect: the socket was connected already", {
        advice: "Make a socket for each connection.",
      });
    }
    const { options, onConnect } = connectArguments(args);
    if (onConnect !== undefined) this.once("connect", onConnect);
    if (options.timeout !== undefined) this.setTimeout(options.timeout);
    this.connecting = true;
    try {
      const loop = loopOf(options.loop ?? this.#loop);
      this.#adopt(
        loop.connect(endpointOf(options), this.#handlers(), { bestEffort: true, ...options }),
      );
    } catch (error) {
      this.connecting = false;
      this.destroy(error as Error);
    }
    return this;
  }

  /**
   * Emits `timeout` once nothing was received or sent for so long. It does not close.
   *
   * @param ms Milliseconds; 0 for never.
   * @param onTimeout A listener for the next `timeout`; with 0 one to remove.
   * @returns This socket.
   * @throws {IoError} `INVALID_ARGUMENT` for what is no such number.
   */
  setTimeout(ms: number, onTimeout?: () => void): this {
    if (!Number.isFinite(ms) || ms < 0) {
      throw new IoError("INVALID_ARGUMENT", `a timeout of ${show(ms)} milliseconds`, {
        advice: "Pass a number of milliseconds, or 0 for none.",
      });
    }
    this.#idle?.[Symbol.dispose]();
    this.#idle = null;
    this.timeout = ms;
    if (ms > 0) this.#idle = new IdleTimer(ms, () => this.emit("timeout"));
    if (onTimeout === undefined) return this;
    return ms > 0 ? this.once("timeout", onTimeout) : this.removeListener("timeout", onTimeout);
  }

  /** Has small messages leave at once, which is how it starts, or wait for more. */
  setNoDelay(noDelay = true): this {
    return this.#set({ noDelay });
  }

  /**
   * Looks for a peer that is gone, or does not, which is how it starts.
   *
   * @param enable Whether to look.
   * @param initialDelayMs Silence before the first look, in milliseconds; less than a second is as
   *   the kernel has it.
   */
  setKeepAlive(enable = false, initialDelayMs = 0): this {
    const idleSeconds = Math.floor(initialDelayMs / 1_000);
    return this.#set({ keepAlive: enable && idleSeconds > 0 ? { idleSeconds } : enable });
  }

  /** Lets the socket keep the process alive, which is how it starts. */
  ref(): this {
    this.#isRef = true;
    this.#conn?.ref();
    return this;
  }

  /** Lets the process end although the socket is open. */
  unref(): this {
    this.#isRef = false;
    this.#conn?.unref();
    return this;
  }

  /** Destroys once everything that was written has been taken. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  /** Resets the connection. */
  resetAndDestroy(): this {
    this.#conn?.abort();
    return this.destroy();
  }

  /** As every emitter; `close` carries whether there was an error. */
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === "close" && args.length === 0) return super.emit("close", this.errored !== null);
    return super.emit(event, ...args);
  }

  /** Goes on reading. Called by `Duplex`. */
  override _read(): void {
    const conn = this.#conn;
    if (conn?.paused === true && conn.state === "open") conn.resume();
  }

  /** Sends. Called by `Duplex`. */
  override _write(
    chunk: Uint8Array,
    encoding: BufferEncoding,
    end: (error?: Error | null) => void,
  ): void {
    const outgoing = this.#outgoing;
    if (outgoing === null) {
      this.once("connect", () => this._write(chunk, encoding, end));
      return;
    }
    this.#idle?.touch();
    this.bytesWritten += chunk.length;
    try {
      if (outgoing.write(chunk)) end();
      else outgoing.wait((error) => end(error as Error | null));
    } catch (error) {
      end(error as Error);
    }
  }

  /** Sends what has come together as one. Called by `Duplex`. */
  override _writev(
    chunks: { chunk: Uint8Array; encoding: BufferEncoding }[],
    end: (error?: Error | null) => void,
  ): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "utf8", end);
  }

  /** Ends this side's direction. Called by `Duplex`. */
  override _final(end: (error?: Error | null) => void): void {
    const conn = this.#conn;
    if (conn === null || this.connecting) {
      this.once("connect", () => this._final(end));
      return;
    }
    let failure: Error | null = null;
    try {
      const isRelayed = (conn as ConnectionHandle).relay !== null;
      if (conn.state === "open" && !isRelayed) conn.shutdown();
    } catch (error) {
      failure = error as Error;
    }
    end(failure);
  }

  /** Closes, or with an error resets. Called by `Duplex`. */
  override _destroy(error: Error | null, end: (error: Error | null) => void): void {
    this.#idle?.[Symbol.dispose]();
    this.#idle = null;
    this.connecting = false;
    const conn = this.#conn;
    if (error === null) conn?.close();
    else conn?.abort();
    end(error);
  }

  static {
    acceptInto = (socket, conn): Socket => {
      (conn as ConnectionHandle).handlers = socket.#handlers();
      socket.#adopt(conn);
      return socket;
    };
  }

  /** What happens on the connection. */
  #handlers(): ConnectionHandlers {
    return {
      open: (): void => this.#opened(),
      data: (_conn, lease): void => this.#received(lease),
      end: (): void => this.#peerEnded(),
      drain: (): void => this.#drained(),
      close: (_conn, error): void => this.#gone(error),
    };
  }

  #received(lease: Lease): void {
    this.#idle?.touch();
    this.bytesRead += lease.length;
    if (!this.push(Buffer.from(lease.bytes))) this.#conn?.pause();
  }

  #opened(): void {
    this.connecting = false;
    this.#set(this.#settings);
    this.#idle?.touch();
    this.emit("connect");
    this.emit("ready");
  }

  #drained(): void {
    this.#idle?.touch();
    this.#outgoing?.drained();
  }

  #peerEnded(): void {
    this.push(null);
    // Without a reader the end is told at once.
    this.read(0);
  }

  #gone(error: IoError | null): void {
    this.#outgoing?.fail(error ?? new IoError("STALE_HANDLE", "the connection is closed"));
    if (this.destroyed) return;
    if (error === null) this.destroy();
    else this.destroy(error);
  }

  #adopt(conn: Connection): void {
    this.#conn = conn;
    this.#outgoing = new Outgoing(conn);
    if (!this.#isRef) conn.unref();
  }

  /** Sets options of the connection, now or once there is one; some sockets lack some. */
  #set(settings: ConnectionSettings): this {
    const conn = this.#conn;
    if (conn === null || this.connecting) Object.assign(this.#settings, settings);
    else if (conn.state === "open") conn.setOptions({ ...settings, bestEffort: true });
    return this;
  }

  #remote(): AddressInfo | undefined {
    return describeAddress(() => this.#conn?.remoteAddress);
  }

  #local(): AddressInfo | undefined {
    return describeAddress(() => this.#conn?.localAddress);
  }
}

interface Connecting {
  readonly options: SocketConnectOptions;
  readonly onConnect: (() => void) | undefined;
}

function connectArguments(args: readonly unknown[]): Connecting {
  const last = args.at(-1);
  const onConnect = typeof last === "function" ? last as () => void : undefined;
  const [first, second] = args;
  if (typeof first === "object" && first !== null) return { options: first, onConnect };
  if (typeof first === "string" && !/^\d+$/.test(first)) {
    return { options: { path: first }, onConnect };
  }
  const host = typeof second === "string" ? second : undefined;
  return { options: { port: first as number, host }, onConnect };
}

function endpointOf({ path, host = "localhost", port }: SocketConnectOptions): Endpoint {
  if (path !== undefined) return { transport: "unix", path };
  return { transport: "tcp", host, port: Number(port) };
}
