/**
 * What is asked of an open datagram socket beside sending: options, groups, addresses. None of it
 * is for the hot path.
 *
 * @module
 */

import type { DatagramOptionName, DatagramSettings, GroupOptions } from "./datagram_socket.ts";
import { errnoName } from "./error_numbers.ts";
import { errorOfStatus, IoError } from "./io_error.ts";
import { parseHost } from "./ip_address.ts";
import type { LoopState } from "./loop_state.ts";
import {
  AddressFamily,
  Header,
  option_unset,
  socket_option_count,
  SocketAction,
  SocketOption,
  SocketRequest,
} from "./native/abi.ts";
import { booleanOption, checkOptions, integerOption, invalidOption } from "./options.ts";
import { readAddress, type SocketAddress, writeAddress } from "./socket_address.ts";

/** What to do about errors that mean something else for groups than for addresses. */
const groupAdvice: Readonly<Record<string, string>> = {
  EADDRINUSE: "Join a group once at each interface and from each source; this was joined already.",
  EADDRNOTAVAIL: "Leave with the group, interface and source that were joined, and once.",
  EINVAL: "Use the address of a group: 224.0.0.0 to 239.255.255.255, or one that starts with ff.",
  ENODEV: "Pass the index of an interface of this machine.",
};

/** A socket as native code names it. */
export interface SocketName {
  readonly loop: LoopState;
  readonly slot: number;
  readonly generation: number;
}

type Range = readonly [option: number, minimum: number, maximum: number] | readonly [number];

const largest = 2 ** 30;

/** Switches have no range. */
const settings: Readonly<Record<DatagramOptionName, Range>> = {
  broadcast: [SocketOption.broadcast],
  sendBufferBytes: [SocketOption.send_buffer, 1, largest],
  receiveBufferBytes: [SocketOption.receive_buffer, 1, largest],
  typeOfService: [SocketOption.type_of_service, 0, 255],
  ttl: [SocketOption.ttl, 1, 255],
  multicastTtl: [SocketOption.multicast_ttl, 0, 255],
  multicastLoop: [SocketOption.multicast_loop],
  multicastInterface: [SocketOption.multicast_interface, 0, 2 ** 31 - 1],
  busyPollUs: [SocketOption.busy_poll_us, 0, 1_000_000],
  mark: [SocketOption.mark, 0, option_unset - 1],
  priority: [SocketOption.priority, 0, 15],
  reuseAddress: [SocketOption.reuse_address],
  reusePort: [SocketOption.reuse_port],
  ipv6Only: [SocketOption.ipv6_only],
};

/** An option's name, as the program spells it. */
export function settingName(option: number): string {
  return Object.entries(settings).find(([, [found]]) => found === option)?.[0] ?? `${option}`;
}

const fixed: readonly string[] = ["reuseAddress", "reusePort", "ipv6Only"];

/** Writes the `SocketOptions` at word `at`. */
export function writeDatagramSettings(
  words: Uint32Array,
  at: number,
  options: Partial<Record<DatagramOptionName, number | boolean>>,
): void {
  words.fill(option_unset, at, at + socket_option_count);
  for (const [name, range] of Object.entries(settings)) {
    const value = options[name as DatagramOptionName];
    if (value !== undefined) words[at + range[0]] = numberOf(name, value, range);
  }
}

function numberOf(name: string, value: unknown, range: Range): number {
  if (range.length === 1) return Number(booleanOption(name, value));
  return integerOption(name, value, range[1], range[2]);
}

/** Changes options of an open socket, one after the other. */
export function changeSettings(socket: SocketName, changes: DatagramSettings): void {
  if (typeof changes !== "object" || changes === null) {
    throw new IoError("INVALID_ARGUMENT", "settings must be an object");
  }
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  const requests = given.map(([name, value]) => {
    const range = Object.hasOwn(settings, name) && !fixed.includes(name)
      ? settings[name as keyof DatagramSettings]
      : null;
    if (range === null) throw new IoError("INVALID_OPTION", `option ${name} cannot be changed`);
    return { name, option: range[0], value: numberOf(name, value, range) };
  });
  for (const { name, option, value } of requests) {
    const words = requestOf(socket, SocketAction.set_option);
    words[SocketRequest.option] = option;
    words[SocketRequest.value] = value;
    perform(socket, words, `set option ${name}`);
  }
}

/** Reads an option of an open socket. */
export function readSetting(socket: SocketName, name: DatagramOptionName): number {
  if (typeof name !== "string" || !Object.hasOwn(settings, name)) {
    const names = Object.keys(settings).join(", ");
    throw invalidOption("name", name, `one of ${names}`, "required");
  }
  const words = requestOf(socket, SocketAction.get_option);
  words[SocketRequest.option] = settings[name][0];
  perform(socket, words, `read option ${name}`);
  return words[SocketRequest.value];
}

/** Joins a group, or leaves it. */
export function changeGroup(
  socket: SocketName,
  action: typeof SocketAction.join | typeof SocketAction.leave,
  group: string,
  options: GroupOptions,
): void {
  const { source } = checkOptions(options);
  const words = requestOf(socket, action);
  const scope = writeHost(words, SocketRequest.group, "group", group);
  const { interface: index = scope } = options;
  words[SocketRequest.interface] = integerOption("interface", index, 0, 2 ** 31 - 1);
  if (source !== undefined) writeHost(words, SocketRequest.source, "source", source);
  const verb = action === SocketAction.join ? "join" : "leave";
  perform(socket, words, `${verb} group ${group}`, groupAdvice);
}

function writeHost(words: Uint32Array, at: number, name: string, host: unknown): number {
  const address = typeof host === "string" ? parseHost(host) : null;
  if (address === null) {
    throw new IoError("INVALID_ARGUMENT", `${name} ${JSON.stringify(host)} is no IP address`, {
      advice: "Use an address such as 239.1.2.3 or ff02::1234.",
    });
  }
  const family = address.family === 6 ? AddressFamily.ipv6 : AddressFamily.ipv4;
  writeAddress(words, at, { family, port: 0, scope: address.scope, bytes: address.bytes });
  return address.scope;
}

function requestOf(socket: SocketName, action: number): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(SocketRequest.byte_length / 4);
  words[SocketRequest.size] = SocketRequest.byte_length;
  words[SocketRequest.slot] = socket.slot;
  words[SocketRequest.generation] = socket.generation;
  words[SocketRequest.action] = action;
  return words;
}

function perform(
  { loop }: SocketName,
  words: Uint32Array<ArrayBuffer>,
  attempt: string,
  advices: Readonly<Record<string, string>> = {},
): void {
  const bytes = new Uint8Array(words.buffer);
  const status = loop.functions.tp_socket_request(loop.handle, bytes, bytes.length);
  if (status >= 0) return;
  const advice = advices[errnoName(-status)];
  const options = advice === undefined ? {} : { advice };
  throw errorOfStatus(status, attempt, loop.words[Header.error_syscall], options);
}

/** Reads a socket's local (0) or remote (1) address from the kernel. */
export function readSocketAddress(
  { loop, slot, generation }: SocketName,
  remote: 0 | 1,
  attempt: string,
): SocketAddress {
  const { functions, handle, words } = loop;
  const status = functions.tp_socket_address(handle, slot, generation, remote);
  if (status < 0) throw errorOfStatus(status, attempt, words[Header.error_syscall]);
  return Object.freeze(readAddress(words, Header.address, "datagram"));
}
