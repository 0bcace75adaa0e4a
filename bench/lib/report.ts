// What a comparison looks like: one line of JSON per contestant for programs, a table for people.

import { label, ownServer, peers } from "./contestant.ts";
import type { Absent } from "./contestant.ts";
import type { Comparison, Figures } from "./comparison.ts";
import { table } from "./table.ts";

/** Parameters that figures are only comparable under. */
export type Parameters = Readonly<Record<string, number | string>>;

/** One line per contestant, the absent ones with the reason. */
export function jsonLines(
  bench: string,
  parameters: Parameters,
  comparison: Comparison,
  absent: readonly Absent[],
): string {
  const lines = comparison.figures.map((figures) => ({
    bench,
    contestant: figures.contestant.name,
    runtime: figures.contestant.runtime,
    params: parameters,
    rate: figures.rate,
    p50_us: figures.p50_us,
    p99_us: figures.p99_us,
    cpu_us_per_op: figures.cpu_us_per_op,
    syscalls_per_op: figures.syscalls_per_op,
    vs: figures.vs,
  }));
  const missing = [...absent, ...comparison.absent].map(({ name, runtime, reason }) => ({
    bench,
    contestant: name,
    runtime,
    params: parameters,
    absent: reason,
  }));
  return [...lines, ...missing].map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** The table, what is absent, and how much was verified. */
export function text(
  title: string,
  comparison: Comparison,
  absent: readonly Absent[],
): string {
  const sorted = [...comparison.figures].sort((left, right) => right.rate - left.rate);
  const present = peers.filter((peer) =>
    sorted.some((figures) => figures.contestant.name === peer)
  );
  const head = [
    "server",
    "requests/s",
    ...present.map((peer) => `vs ${peer}`),
    "vs own",
    "p50 µs",
    "p99 µs",
    "CPU µs/req",
    ...present.slice(0, 1).map((peer) => `CPU vs ${peer}`),
    "calls/req",
  ];
  const rows = sorted.map((figures) => row(figures, present));
  const lines = [title, table(head, rows)];
  for (const { reason, ...contestant } of [...absent, ...comparison.absent]) {
    lines.push(`absent: ${label({ reason, ...contestant })}: ${reason}`);
  }
  const bound = sorted.filter((figures) => figures.loadBound).map(({ contestant }) =>
    label(contestant)
  );
  if (bound.length > 0) {
    lines.push(`limited by the load generator, not the server: ${bound.join(", ")}`);
  }
  if (sorted.some((figures) => figures.disturbed)) {
    lines.push("other programs used the cores meanwhile: CPU µs/req holds, rates and times do not");
  }
  for (const { contestant, starved } of sorted) {
    if (starved === 0) continue;
    lines.push(`${label(contestant)} left ${starved} connections without any reply in a window`);
  }
  const replies = total(sorted, (figures) => figures.replies);
  const bytes = total(sorted, (figures) => figures.verifiedBytes);
  lines.push(`${replies} measured replies, ${bytes} bytes echoed, each compared and right.`);
  return `${lines.join("\n")}\n`;
}

function total(all: readonly Figures[], figure: (figures: Figures) => number): string {
  return all.reduce((sum, figures) => sum + figure(figures), 0).toLocaleString("en");
}

function row(figures: Figures, present: readonly string[]): string[] {
  const own = ownServer(figures.contestant.runtime);
  const ratio = (ratios: Readonly<Record<string, number>>, name: string | undefined): string =>
    name !== undefined && name in ratios ? ratios[name].toFixed(2) : "–";
  return [
    label(figures.contestant),
    Math.round(figures.rate).toLocaleString("en"),
    ...present.map((peer) => ratio(figures.vs, peer)),
    ratio(figures.vs, own),
    figures.p50_us.toFixed(0),
    figures.p99_us.toFixed(0),
    figures.cpu_us_per_op.toFixed(2),
    ...present.slice(0, 1).map((peer) => ratio(figures.cpuVs, peer)),
    figures.syscalls_per_op === null ? "?" : figures.syscalls_per_op.toFixed(2),
  ];
}
