// What each option of the public interfaces cannot be. The tables are keyed by the interfaces: an
// option without a row does not pass the type check.

import type {
  ConnectOptions,
  ConnectSocketOptions,
  DatagramOptions,
  DatagramSettings,
  DatagramStreamOptions,
  FixedSegmenter,
  FunctionSegmenter,
  IoErrorCode,
  IoUringOptions,
  LengthSegmenter,
  LineSegmenter,
  ListenerSocketOptions,
  ListenOptions,
  LoopOptions,
  NameOptions,
  PoolOptions,
  QuarantineOptions,
  SegmenterLimits,
  ServerOptions,
  SqpollOptions,
  StreamLoopOptions,
  StreamOptions,
  StreamSocketOptions,
} from "../../mod.ts";

/** Values that an option cannot have, and with what they are refused. */
export interface Row {
  readonly values: readonly unknown[];
  readonly code: IoErrorCode;
}

/** A row for each option of an interface that is not in `Done`. */
export type Rows<Options, Done = object> = {
  readonly [Name in Exclude<keyof Options, keyof Done>]-?: Row;
};

export const noNumbers = [NaN, "8", null, true, {}, [], 8n, Infinity, -Infinity];

export function refused(...values: readonly unknown[]): Row {
  return { values, code: "INVALID_OPTION" };
}

export function integer(least: number, most: number, ...more: readonly unknown[]): Row {
  return refused(...noNumbers, least + 0.5, least - 1, most + 1, ...more);
}

/** Where the message names no option: arguments beside options, and lists. */
export function argument(...values: readonly unknown[]): Row {
  return { values, code: "INVALID_ARGUMENT" };
}

export const boolean = refused(0, 1, "yes", null, {});
export const callback = refused(5, "call", {});
export const object = refused(null, 5, "all");
export const signal = refused(null, 5, "now", {}, { aborted: false });
export const mark = integer(32_768, 2 ** 30);
export const timeout = integer(1, 3_600_000);
export const timeoutOrNone = integer(0, 3_600_000);
export const bufferBytes = integer(1, 2 ** 30);

export const ofSockets: Rows<StreamSocketOptions> = {
  noDelay: boolean,
  cork: boolean,
  quickAck: boolean,
  keepAlive: refused(0, 1, "yes", null),
  userTimeoutMs: integer(0, 2 ** 31 - 1),
  sendBufferBytes: bufferBytes,
  receiveBufferBytes: bufferBytes,
  busyPollUs: integer(0, 1_000_000),
  typeOfService: integer(0, 255),
  mark: integer(0, 2 ** 32 - 2),
  priority: integer(0, 15),
  ttl: integer(1, 255),
  bestEffort: boolean,
};

export const ofStreams: Rows<StreamOptions, StreamSocketOptions> = {
  highWaterMark: mark,
  lingerTimeoutMs: timeout,
  idleTimeoutMs: timeoutOrNone,
  receiveCredits: integer(1, 65_536),
  descriptors: refused(0, "yes", null, {}),
  segmenter: refused(5, "line", {}, { kind: "word" }),
};

export const ofListenerSockets: Rows<ListenerSocketOptions> = {
  reuseAddress: boolean,
  reusePort: boolean,
  ipv6Only: boolean,
  fastOpenBacklog: integer(0, 65_535),
};

export const ofListening: Rows<ListenOptions, StreamOptions & ListenerSocketOptions> = {
  backlog: integer(1, 65_535),
  unlinkStale: boolean,
  mode: integer(0, 0o777),
};

export const ofConnecting: Rows<ConnectOptions, StreamOptions & ConnectSocketOptions> = {
  timeoutMs: timeoutOrNone,
  family: refused("ipv5", "", 4, null, "constructor"),
  resolveTimeoutMs: timeout,
  attemptDelayMs: integer(10, 2_000),
  signal,
};
export const ofConnectingSockets: Rows<ConnectSocketOptions> = { fastOpen: boolean };

export const ofNames: Rows<NameOptions> = {
  family: ofConnecting.family,
  resolveTimeoutMs: timeout,
};
export const ofLayer1: Rows<StreamLoopOptions, StreamOptions> = {
  loop: object,
  readAheadBytes: integer(1, 2 ** 30),
  onDraining: callback,
};
export const ofServers: Rows<ServerOptions, ListenOptions & StreamLoopOptions & NameOptions> = {
  signal,
  maxWaiting: integer(1, 65_536),
  onAcceptError: callback,
};

export const ofDatagramSockets: Rows<DatagramSettings> = {
  broadcast: boolean,
  sendBufferBytes: bufferBytes,
  receiveBufferBytes: bufferBytes,
  typeOfService: integer(0, 255),
  ttl: integer(1, 255),
  multicastTtl: integer(0, 255),
  multicastLoop: boolean,
  multicastInterface: integer(0, 2 ** 31 - 1),
  busyPollUs: integer(0, 1_000_000),
  mark: integer(0, 2 ** 32 - 2),
  priority: integer(0, 15),
};
export const ofDatagrams: Rows<DatagramOptions, DatagramSettings> = {
  remote: { values: [null, 5, "nowhere", {}], code: "INVALID_ENDPOINT" },
  highWaterMark: mark,
  lingerTimeoutMs: timeout,
  receiveCredits: integer(1, 65_536),
  reuseAddress: boolean,
  reusePort: boolean,
  ipv6Only: boolean,
  gro: refused(0, 1, "yes", null, {}, true),
  packetInfo: boolean,
  ecn: boolean,
  countDrops: boolean,
  gso: boolean,
};
export const ofDatagramStreams: Rows<DatagramStreamOptions, DatagramOptions & NameOptions> = {
  loop: object,
  signal,
  maxWaiting: integer(1, 65_536),
  onError: callback,
};

export const ofLoops: Rows<LoopOptions> = {
  backend: refused("poll", "", 1, null, "constructor"),
  trigger: refused("rising", "", 0, null),
  mode: refused("busy", 0, null, {}),
  clock: refused("wall", 0, null, false),
  maxConnections: integer(1, 1_048_576),
  maxListeners: integer(1, 4_096),
  maxWatches: integer(1, 65_536),
  maxSockets: integer(1, 65_536),
  maxTimers: integer(1, 1_048_576),
  entries: integer(64, 65_536, 65, 100, 32, 131_072),
  spinCeilingUs: integer(1, 1_000_000),
  pool: object,
  ioUring: object,
  debug: boolean,
  onLeak: callback,
};
export const ofPools: Rows<PoolOptions> = {
  bufferSize: integer(512, 1_048_576, 513, 10_000),
  receiveBuffers: integer(8, 32_768, 9, 100),
  maxBytes: integer(65_536, 2 ** 40),
  slabBytes: integer(65_536, 2 ** 30, 65_537),
  hugePages: refused("4KiB", "", 2, null, true),
  lock: boolean,
  prefault: boolean,
  numaNode: integer(0, 1_023),
  fixedBuffers: boolean,
  strict: boolean,
  poison: boolean,
  quarantine: object,
};
export const ofQuarantines: Rows<QuarantineOptions> = {
  count: integer(0, 65_536),
  timeMs: timeoutOrNone,
};
export const ofRings: Rows<IoUringOptions> = {
  sqpoll: refused(null, 5, "yes"),
  zeroCopyBytes: integer(0, 2 ** 30),
  minWaitUs: integer(0, 1_000_000),
  minWaitCount: integer(1, 4_096),
  napiUs: integer(0, 1_000_000),
  bundles: boolean,
  incrementalBuffers: boolean,
  bestEffort: boolean,
};
export const ofSqpoll: Rows<SqpollOptions> = {
  idleMs: integer(1, 60_000),
  cpu: integer(0, 4_095),
};

/** Not more than a pool of the default size has memory for. */
const ofLimits: Rows<SegmenterLimits> = {
  maxLength: integer(1, 2 ** 31),
  contiguous: boolean,
};
/** By the kind of segmenter, which `kind` names. */
export const ofSegmenters: {
  readonly length: Rows<LengthSegmenter, { kind: string }>;
  readonly line: Rows<LineSegmenter, { kind: string }>;
  readonly fixed: Rows<FixedSegmenter, { kind: string }>;
  readonly function: Rows<FunctionSegmenter, { kind: string }>;
} = {
  length: {
    ...ofLimits,
    offset: integer(0, 255),
    width: integer(1, 8),
    encoding: refused("middle", "", 0, null, "constructor"),
    adjustment: integer(-(2 ** 30), 2 ** 30),
    headerBytes: integer(4, 512),
    stripped: boolean,
  },
  line: {
    ...ofLimits,
    delimiter: refused("", "seventeen bytes !", new Uint8Array(17), 10, null, [10]),
    stripped: boolean,
    crlf: boolean,
  },
  fixed: { bytes: integer(1, 2 ** 31, undefined), contiguous: boolean },
  function: { ...ofLimits, segment: refused(undefined, null, 5, {}) },
};
