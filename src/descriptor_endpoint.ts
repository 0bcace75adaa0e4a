/**
 * A descriptor that listens already, as an endpoint.
 *
 * @module
 */

import { checkDescriptor } from "./descriptors.ts";
import type { Endpoint, ResolvedEndpoint } from "./endpoint.ts";
import { AddressFamily } from "./native/abi.ts";

/** The object form of `fd:3`: a stream socket that listens already. */
export interface DescriptorEndpoint {
  /** Its number. */
  readonly descriptor: number;
}

const noBytes = new Uint8Array(0);

/** Reads either form; null for any other endpoint. Throws `EBADF` for what is no number of one. */
export function resolveDescriptor(
  endpoint: string | Endpoint | DescriptorEndpoint,
): ResolvedEndpoint | null {
  const descriptor = numberOf(endpoint);
  if (descriptor === undefined) return null;
  const text = `fd:${String(descriptor)}`;
  checkDescriptor(descriptor, `listen ${text}`);
  const family = AddressFamily.descriptor;
  return { text, transport: "tcp", family, port: descriptor, scope: 0, bytes: noBytes, name: "" };
}

function numberOf(endpoint: unknown): unknown {
  if (typeof endpoint === "string") {
    const number = /^fd:(.*)$/i.exec(endpoint)?.[1];
    if (number === undefined) return undefined;
    return /^[0-9]{1,10}$/.test(number) ? Number(number) : number;
  }
  if (typeof endpoint !== "object" || endpoint === null) return undefined;
  return "descriptor" in endpoint ? endpoint.descriptor : undefined;
}
