/**
 * What a loop has done so far.
 *
 * @module
 */

import { Counters, Header } from "./native/abi.ts";

/** Counters since the loop was opened, and what is open now. */
export interface LoopStats {
  /** Turns taken. */
  readonly turns: number;
  /** System calls made by the backend and by sends and receives. */
  readonly systemCalls: number;
  /** Turns that slept in the kernel. */
  readonly sleeps: number;
  /** Passes made while polling without finding work. */
  readonly spins: number;
  /** Changes between sleeping and polling. */
  readonly transitions: number;
  /** Connections accepted. */
  readonly accepted: number;
  /** Connections connected. */
  readonly connected: number;
  /** Connections ended. */
  readonly closed: number;
  /** Bytes received. */
  readonly receivedBytes: number;
  /** Bytes sent. */
  readonly sentBytes: number;
  /** Submissions that named nothing and were dropped: it ended in the same turn. */
  readonly rejected: number;
  /** Times receiving stopped because no buffer was free. */
  readonly starved: number;
  /** Sends that asked the kernel not to copy (`ioUring.zeroCopyBytes`). */
  readonly zeroCopies: number;
  /** Those of them that it copied after all, as far as it told; needs Linux 6.2. */
  readonly zeroCopiesCopied: number;
  /** Datagrams received. */
  readonly datagramsReceived: number;
  /** Datagrams that the kernel took. */
  readonly datagramsSent: number;
  /** Datagrams that the kernel refused to send; `error` tells why. */
  readonly datagramsRefused: number;
  /** Datagrams that the kernel dropped before they could be received, as far as it told (Linux). */
  readonly datagramsDropped: number;
  /** Connections open now. */
  readonly openConnections: number;
  /** Listeners open now. */
  readonly openListeners: number;
  /** Datagram sockets open now. */
  readonly openSockets: number;
  /** Watches of descriptors that are active now, or whose end is not over. */
  readonly openWatches: number;
  /** Buffers on which the program owns references. */
  readonly leases: number;
  /** Buffers in use now: leased, borrowed, held back, or waiting to be sent. */
  readonly buffersInUse: number;
}

/** Reads the counters from a loop's shared region. */
export function readStats(words: Uint32Array, doubles: Float64Array): LoopStats {
  const at = Header.counters;
  return {
    turns: doubles[at + Counters.turns],
    systemCalls: doubles[at + Counters.system_calls],
    sleeps: doubles[at + Counters.sleeps],
    spins: doubles[at + Counters.spins],
    transitions: doubles[at + Counters.transitions],
    accepted: doubles[at + Counters.accepted],
    connected: doubles[at + Counters.connected],
    closed: doubles[at + Counters.closed],
    receivedBytes: doubles[at + Counters.received_bytes],
    sentBytes: doubles[at + Counters.sent_bytes],
    rejected: doubles[at + Counters.rejected],
    starved: doubles[at + Counters.starved],
    zeroCopies: doubles[at + Counters.zero_copied],
    zeroCopiesCopied: doubles[at + Counters.zero_copy_copied],
    datagramsReceived: doubles[at + Counters.datagrams_received],
    datagramsSent: doubles[at + Counters.datagrams_sent],
    datagramsRefused: doubles[at + Counters.datagrams_refused],
    datagramsDropped: doubles[at + Counters.datagrams_dropped],
    openConnections: words[Header.open_connections],
    openListeners: words[Header.open_listeners],
    openSockets: words[Header.open_sockets],
    openWatches: words[Header.open_watches],
    leases: words[Header.leases],
    buffersInUse: words[Header.buffers_in_use],
  };
}
