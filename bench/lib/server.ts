// One server process: started, awaited until it listens, watched while it is measured, ended.
//
// Invariants: `start` resolves only once the server has told its port; after `stop` the process is
// gone; a server that ends before it was asked to is reported by `check`.

import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { environment, label } from "./contestant.ts";
import type { Absent, Contestant } from "./contestant.ts";
import { pinned } from "./machine.ts";

const startLimitMs = 20_000;
const stopLimitMs = 3_000;
const errorTailLength = 2000;

/** The server cannot run on this machine, by its own account. */
export class Unavailable extends Error {
  override name = "Unavailable";
}

const running = new Set<ChildProcess>();
// A killed harness must not leave servers behind.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => process.exit(130));
}

export class Server {
  readonly contestant: Contestant;
  port = 0;
  readonly #child: ChildProcess;
  #errors = "";
  #failure: string | undefined;

  private constructor(contestant: Contestant, child: ChildProcess) {
    this.contestant = contestant;
    this.#child = child;
    running.add(child);
    child.stderr?.on("data", (data) => {
      this.#errors = (this.#errors + data).slice(-errorTailLength);
    });
    child.once("error", (error) => this.#failure ??= error.message);
    child.once("exit", (code, signal) => {
      running.delete(child);
      this.#failure ??= `ended by itself (${signal ?? code})`;
    });
  }

  /**
   * Starts a contestant's server on a core.
   *
   * @throws {Unavailable} When it cannot run here.
   * @throws {Error} When it fails to start or does not tell its port in time.
   */
  static async start(contestant: Contestant, core: number | undefined): Promise<Server> {
    const [executable, ...args] = pinned(contestant.command, core);
    // The C peers take the port as their last argument, the others as an option.
    args.push(...(contestant.runtime === "native" ? ["0"] : ["--port", "0"]));
    const child = spawn(executable, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: environment(),
    });
    const server = new Server(contestant, child);
    const line = await server.#firstLine();
    const [word, ...rest] = line?.split(" ") ?? [];
    if (word === "listening") {
      server.port = Number(rest[0]);
      return server;
    }
    await server.stop();
    if (word === "unavailable") throw new Unavailable(rest.join(" "));
    server.#failure ??= line === undefined ? "did not start in time" : `printed ${line}`;
    throw server.#error();
  }

  /**
   * Starts contestants' servers one after the other, into `servers`, which are the caller's to stop
   * also when one fails.
   *
   * @returns Those that cannot run here.
   */
  static async startAll(
    contestants: readonly Contestant[],
    core: number | undefined,
    servers: Server[],
    onStart: (contestant: Contestant) => void,
  ): Promise<Absent[]> {
    const absent: Absent[] = [];
    for (const contestant of contestants) {
      onStart(contestant);
      try {
        servers.push(await Server.start(contestant, core));
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        absent.push({ ...contestant, reason: error.message });
      }
    }
    return absent;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** @throws {Error} When the server has ended although nobody asked it to. */
  check(): void {
    if (this.#failure !== undefined) throw this.#error();
  }

  /** Ends the server with SIGTERM and returns true, or with SIGKILL if that does not help. */
  async stop(): Promise<boolean> {
    const child = this.#child;
    if (!running.has(child) || child.pid === undefined) return true;
    this.#failure = "was stopped";
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    const limit = setTimeout(() => child.kill("SIGKILL"), stopLimitMs);
    await exited;
    clearTimeout(limit);
    return child.signalCode !== "SIGKILL";
  }

  #error(): Error {
    const errors = this.#errors.trim();
    const what = `${label(this.contestant)} ${this.#failure}`;
    return new Error(errors === "" ? what : `${what}\n${errors}`);
  }

  #firstLine(): Promise<string | undefined> {
    return new Promise((resolve) => {
      let text = "";
      const limit = setTimeout(() => resolve(undefined), startLimitMs);
      const settle = (line: string): void => {
        clearTimeout(limit);
        resolve(line);
      };
      this.#child.stdout?.on("data", (data) => {
        text += data;
        const end = text.indexOf("\n");
        if (end >= 0) settle(text.slice(0, end));
      });
      this.#child.once("close", () => settle(text));
      this.#child.once("error", () => settle(text));
    });
  }
}
