// Programs that are run for what they print.

import { spawn } from "node:child_process";

/** What a program printed, and how it ended. */
export interface Captured {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; after so long it is killed. */
export function capture(command: readonly string[], limitMs: number): Promise<Captured> {
  return new Promise((resolve, reject) => {
    const [executable, ...args] = command;
    const child = spawn(executable, args, { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (data) => stdout += data);
    child.stderr.on("data", (data) => stderr += data);
    const limit = setTimeout(() => child.kill("SIGKILL"), limitMs);
    child.once("error", (error) => {
      clearTimeout(limit);
      reject(error);
    });
    child.once("close", (code, signal) => {
      clearTimeout(limit);
      resolve({ code: code ?? signal ?? "unknown", stdout, stderr });
    });
  });
}
