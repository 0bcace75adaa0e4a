// Child processes of tests: captured, never longer than an overall limit, ended by their own id.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { root } from "./runtime.ts";

const limitMs = 60_000;

/** What a child process left. */
export interface Finished {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running child process; `using` ends it. */
export class Child implements Disposable {
  readonly finished: Promise<Finished>;
  stdout = "";
  stderr = "";
  readonly #process: ChildProcess;
  readonly #what: string;
  #read = 0;
  #isFinished = false;
  #notify: () => void = () => {};

  constructor(command: readonly string[], environment: Readonly<Record<string, string>> = {}) {
    const [executable, ...args] = command;
    this.#what = command.join(" ");
    this.#process = spawn(executable, args, {
      cwd: root,
      env: { ...process.env, NO_COLOR: "1", ...environment },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#process.stdout!.setEncoding("utf8");
    this.#process.stdout!.on("data", (text: string) => {
      this.stdout += text;
      this.#notify();
    });
    this.#process.stderr!.setEncoding("utf8");
    this.#process.stderr!.on("data", (text: string) => {
      this.stderr += text;
      this.#notify();
    });
    this.finished = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.kill("SIGKILL");
        reject(new Error(`${this.#what}: no end after ${limitMs} ms\n${this.stderr}`));
      }, limitMs);
      this.#process.on("error", reject);
      this.#process.on("close", (code, signal) => {
        clearTimeout(timer);
        this.#isFinished = true;
        this.#notify();
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
    // It is a failure of whoever waits for it.
    this.finished.catch(() => {});
  }

  /** Writes to its standard input, or with null ends that. */
  input(bytes: Uint8Array | string | null): void {
    const { stdin } = this.#process;
    if (bytes === null) stdin!.end();
    else stdin!.write(bytes);
  }

  /** What `pattern` finds in its standard error, once it does. */
  async errorMatch(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.stderr);
      if (found !== null) return found;
      if (this.#isFinished) throw new Error(`${this.#what}: no ${pattern} in\n${this.stderr}`);
      const more = new Promise<void>((resolve) => this.#notify = resolve);
      await Promise.race([more, this.finished]);
    }
  }

  /** The next line of its standard output. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.stdout.indexOf("\n", this.#read);
      if (end >= 0) {
        const line = this.stdout.slice(this.#read, end);
        this.#read = end + 1;
        return line;
      }
      if (this.#isFinished) {
        throw new Error(`${this.#what}: ended without another line\n${this.stdout}${this.stderr}`);
      }
      const more = new Promise<void>((resolve) => this.#notify = resolve);
      await Promise.race([more, this.finished]);
    }
  }

  /** The next line of its standard output, which is JSON. */
  async json(): Promise<Record<string, unknown>> {
    return JSON.parse(await this.line());
  }

  /** Not through the child process object: Deno then reports the signal, not the exit code. */
  kill(signal: "SIGTERM" | "SIGINT" | "SIGKILL"): void {
    const { pid } = this.#process;
    if (pid === undefined || this.#isFinished) return;
    try {
      process.kill(pid, signal);
    } catch (error) {
      // It has ended already, only its output has not.
      if ((error as { code?: string }).code !== "ESRCH") throw error;
    }
  }

  [Symbol.dispose](): void {
    this.kill("SIGKILL");
  }
}

/** Runs a command to its end. */
export async function runChild(
  command: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  using child = new Child(command, environment);
  return await child.finished;
}
