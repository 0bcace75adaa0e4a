/**
 * `twinpoll info`: what this machine offers.
 *
 * @module
 */

import { type BackendAvailability, type Machine, probe } from "../probe.ts";

/** Prints what {@linkcode probe} finds, as text or as one JSON object. */
export function info(json: boolean): void {
  const machine = probe();
  console.log(json ? JSON.stringify(jsonOf(machine)) : textOf(machine));
}

/** JSON knows no infinity: an absent limit is null. */
function jsonOf(machine: Machine): unknown {
  return {
    ...machine,
    memoryLockLimit: finite(machine.memoryLockLimit),
    descriptorLimit: finite(machine.descriptorLimit),
  };
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

function textOf(machine: Machine): string {
  const disabled = machine.ioUringDisabled;
  const rows: [string, string][] = [
    ["runtime", machine.runtime],
    ["library", `${machine.library} (ABI ${machine.abiVersion})`],
    ["kernel", machine.kernel],
    ["page", `${machine.pageBytes} bytes`],
    ["CPUs", `${machine.cpusAllowed} of ${machine.cpusOnline}`],
    ["locked memory", limitText(machine.memoryLockLimit, "bytes")],
    ["descriptors", limitText(machine.descriptorLimit, "")],
    ["io_uring_disabled", disabled === null ? "not readable" : String(disabled)],
    ["waker thread", machine.threads ? "yes" : "no"],
    ["io_uring", backendText(machine.backends.io_uring)],
    ["epoll", backendText(machine.backends.epoll)],
  ];
  return rows.map(([name, value]) => `${name.padEnd(18)} ${value}`).join("\n");
}

function limitText(value: number, unit: string): string {
  return Number.isFinite(value) ? `${value} ${unit}`.trim() : "unlimited";
}

function backendText(backend: BackendAvailability): string {
  if (backend.available) {
    const flags = backend.setupFlags.length === 0 ? "" : `: ${backend.setupFlags.join(" ")}`;
    return `available (rung ${backend.rung})${flags}`;
  }
  const error = backend.error === undefined ? "" : ` (${backend.error})`;
  return `not available: ${backend.reason}${error}. ${backend.advice}`;
}
