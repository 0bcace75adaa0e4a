// A proxy for tests: a client, a relay and a target, all on the loop of the test.

import type {
  Connection,
  ConnectionHandlers,
  ConnectOptions,
  IoError,
  Loop,
  Relay,
  RelayOptions,
  RelayTotals,
} from "../../mod.ts";
import { turnUntil } from "./drive.ts";
import { anyPort, Recorder } from "./streams.ts";

/** What was reported at the end of a relay. */
export interface RelayEnd {
  readonly code: string | null;
  readonly totals: RelayTotals;
}

/** What a proxy is made of. */
export interface ProxyOptions {
  readonly client?: ConnectionHandlers;
  readonly target?: ConnectionHandlers;
  readonly relay?: Omit<RelayOptions, "end">;
  /** Of all four ends of connections. */
  readonly connect?: ConnectOptions;
  /** Where the proxy connects to instead. */
  readonly endpoint?: string;
}

/**
 * A client and a target with a relay between them. `client` and `target` are the ends of the two
 * peers, `first` and `second` those of the relay.
 */
export class Proxy {
  readonly client: Recorder;
  readonly target: Recorder;
  readonly first: Recorder = new Recorder();
  readonly second: Recorder = new Recorder();
  /** One entry per call of the relay's end handler. */
  readonly ends: RelayEnd[] = [];
  relay: Relay | null = null;
  readonly #loop: Loop;

  constructor(loop: Loop, options: ProxyOptions = {}) {
    this.#loop = loop;
    this.client = new Recorder(options.client);
    this.target = new Recorder(options.target);
    const { connect } = options;
    const target = loop.listen(anyPort, this.target, connect);
    const upstream = options.endpoint ?? target.endpoint;
    const proxy = loop.listen(anyPort, {
      ...this.first,
      open: (conn): void => {
        this.first.open(conn);
        this.relay = loop.relay(conn, loop.connect(upstream, this.second, connect), {
          ...options.relay,
          end: (_, error, totals) => this.#ended(error, totals),
        });
      },
    }, connect);
    loop.connect(proxy.endpoint, this.client, connect);
    turnUntil(loop, () => this.relay !== null, "the relay");
    if (options.endpoint === undefined) {
      turnUntil(loop, () => this.target.conn !== null, "the target");
    }
    proxy.close();
    target.close();
    turnUntil(loop, () => loop.stats().openListeners === 0, "the listeners closed");
  }

  /** The client's end of its connection. */
  get clientConn(): Connection {
    return this.client.conn!;
  }

  /** The target's end of its connection. */
  get targetConn(): Connection {
    return this.target.conn!;
  }

  /** The relay's end of the client's connection. */
  get firstConn(): Connection {
    return this.first.conn!;
  }

  /** The relay's end of the target's connection. */
  get secondConn(): Connection {
    return this.relay!.second;
  }

  /** Takes turns until the relay and both peers have ended. */
  awaitEnd(): RelayEnd {
    const peers = [this.client, this.target];
    const isOver = (): boolean =>
      this.ends.length > 0 && peers.every((peer) => peer.conn === null || peer.isClosed);
    turnUntil(this.#loop, isOver, "the end of the relay");
    return this.ends[0];
  }

  #ended(error: IoError | null, totals: RelayTotals): void {
    this.ends.push({ code: error?.code ?? null, totals });
  }
}
