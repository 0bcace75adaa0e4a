// `npm start`, the main job: what this machine can do, then the echo comparison over everybody, in
// less than a minute. Ends with 0 when every byte of every contestant was right.

import { spawnSync } from "node:child_process";
import process from "node:process";
import { current } from "../scripts/lib/tools.mjs";
import { echo } from "./echo.ts";
import { command, environment } from "./lib/contestant.ts";
import { buildPrograms } from "./lib/load.ts";
import { text } from "./lib/report.ts";

/** From the start of this program; a minute is what people wait for. */
const budgetSeconds = 45;

/** Prints what `twinpoll info` says. */
async function info(): Promise<void> {
  const answer = await command(current, "cli.ts", ["info"]);
  if (typeof answer === "string") throw new Error(`twinpoll info: ${answer}`);
  const [executable, ...args] = answer;
  const { status, signal } = spawnSync(executable, args, {
    stdio: ["ignore", "inherit", "inherit"],
    timeout: 20_000,
    env: environment(),
  });
  if (status !== 0) throw new Error(`twinpoll info failed (${signal ?? status})`);
}

try {
  await buildPrograms();
  await info();
  process.stdout.write("\n");
  const { title, comparison, absent } = await echo({
    connections: 64,
    size: 64,
    depth: 1,
    rounds: 3,
    seconds: { budget: budgetSeconds - performance.now() / 1000 },
    contestants: [],
  });
  process.stdout.write(text(title, comparison, absent));
} catch (error) {
  process.stderr.write(`FAILED: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
