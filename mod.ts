/**
 * Event-and-poll I/O for TypeScript, on Deno, Bun and Node.
 *
 * A {@linkcode Loop} holds listeners, connections and timers. Its handlers are called in turns,
 * each of which enters native code once; it sleeps while work is rare and polls while it is plenty.
 *
 * @example An echo server
 * ```ts
 * import { Loop } from "@twinpoll/twinpoll";
 *
 * const loop = new Loop();
 * const listener = loop.listen("tcp://127.0.0.1:0", {
 *   data(conn, lease) {
 *     conn.send(lease); // the lease moves: nothing is copied
 *   },
 * });
 * console.log(`listening on ${listener.endpoint}`);
 * await loop.run({ signal: AbortSignal.timeout(100) }); // without a signal: for ever
 * loop.close();
 * ```
 *
 * @module
 */

export { type AllocateOptions, Loop } from "./src/loop.ts";
export type { RunOptions } from "./src/run.ts";
export { LoopOpenings } from "./src/loop_openings.ts";
export type {
  BackendName,
  Capabilities,
  ClockName,
  LoopMode,
  LoopOptions,
  TriggerName,
} from "./src/loop_options.ts";
export type { IoUringFeature, IoUringOptions, SqpollOptions } from "./src/ring_options.ts";
export type { HugePages, PoolOptions, QuarantineOptions } from "./src/pool_options.ts";
export type { AdoptOptions, NativeMemory, Pool } from "./src/pool.ts";
export type { MemoryGrantStats, PageSize, PoolStats } from "./src/pool_stats.ts";
export type { LeakedLease, LeakReport } from "./src/leaks.ts";
export type { LoopShutdownOptions, LoopShutdownResult } from "./src/shutdown.ts";
export type { LoopStats } from "./src/loop_stats.ts";
export type {
  Listener,
  ListenerCloseOptions,
  ListenerHandlers,
  ListenOptions,
} from "./src/listener.ts";
export type {
  Connection,
  ConnectionHandlers,
  ConnectionState,
  ConnectOptions,
  Sendable,
  SendOptions,
  SendResult,
  StreamOptions,
} from "./src/connection.ts";
export {
  type FixedSegmenter,
  type FunctionSegmenter,
  type LengthSegmenter,
  type LineSegmenter,
  Segment,
  type Segmenter,
  type SegmenterLimits,
  type SegmentFunction,
} from "./src/segmenter.ts";
export type { Relay, RelayOptions, RelayState, RelayTotals } from "./src/relay.ts";
export type {
  DatagramHandlers,
  DatagramOptionName,
  DatagramOptions,
  DatagramSendOptions,
  DatagramSettings,
  DatagramSocket,
  DatagramSocketState,
  GroupOptions,
} from "./src/datagram_socket.ts";
export type { DatagramSource } from "./src/datagram_source.ts";
export { Lease } from "./src/lease.ts";
export type { LeaseMessage } from "./src/lease_message.ts";
export { type Doorbell, type DoorbellHandler, type DoorbellMessage, ring } from "./src/doorbell.ts";
export { Ready, type Watch, type WatchHandler, type WatchOptions } from "./src/watch.ts";
export type { Datagram, DatagramStream, DatagramStreamOptions } from "./src/datagram_stream.ts";
export type { NameOptions } from "./src/named_address.ts";
export { bind } from "./src/open_datagrams.ts";
export { listen } from "./src/open_server.ts";
export { connect } from "./src/open_stream.ts";
export type { Server, ServerOptions, ShutdownOptions } from "./src/server.ts";
export type { Stream, StreamConnectOptions, StreamLoopOptions } from "./src/stream.ts";
export {
  type Lookup,
  type ResolvedAddress,
  type ResolveHandler,
  type ResolveOptions,
  type ResolverFiles,
  useResolverFiles,
} from "./src/resolve.ts";
export type { Timer, TimerOptions } from "./src/timer.ts";
export type { ConnectionMessage } from "./src/connection_message.ts";
export type { DetachedSocket } from "./src/detach.ts";
export { closeDescriptor, type InheritedDescriptor, listenDescriptors } from "./src/descriptors.ts";
export type { DescriptorEndpoint } from "./src/descriptor_endpoint.ts";
export type { Endpoint, IpEndpoint, PathEndpoint } from "./src/endpoint.ts";
export type { SocketAddress, Transport } from "./src/socket_address.ts";
export type { ConnectionSettings, PeerCredentials } from "./src/socket_control.ts";
export type {
  ConnectSocketOptions,
  KeepAliveOptions,
  ListenerSocketOptions,
  SocketOptionName,
  SocketOptionValues,
  StreamSocketOptions,
} from "./src/socket_options.ts";
export {
  IoError,
  type IoErrorCode,
  type IoErrorOptions,
  type LibraryErrorCode,
} from "./src/io_error.ts";
export { type BackendAvailability, type Machine, probe } from "./src/probe.ts";
