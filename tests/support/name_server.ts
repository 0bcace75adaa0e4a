// A name server for tests, on the very loop that is tested: it is asked through streams, which
// needs no host between turns. Hosts file and resolv.conf are the test's own.

import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Connection, type Listener, type Loop, useResolverFiles } from "../../mod.ts";
import { anyPort } from "./streams.ts";

/** What a server says to a question: addresses, a code of the header, or nothing at all. */
export type Reply = readonly string[] | "no such name" | "failure" | "silence";

const codes = { "no such name": 3, "failure": 2 } as const;
const addressType = 1;

const folder = mkdtempSync(join(tmpdir(), "twinpoll-names-"));

/** Has this process resolve names by these texts. */
export function useTexts(hosts: string, resolvConf: string): void {
  writeFileSync(join(folder, "hosts"), hosts);
  writeFileSync(join(folder, "resolv.conf"), resolvConf);
  useResolverFiles({ hosts: join(folder, "hosts"), resolvConf: join(folder, "resolv.conf") });
}

/** Answers for names; closes with the test. */
export class NameServer {
  /** Names that were asked for, once per family. */
  readonly asked: string[] = [];
  readonly #listener: Listener;
  readonly #silent = new Set<Connection>();

  constructor(loop: Loop, replies: Readonly<Record<string, Reply>>, hosts = "", options = "") {
    this.#listener = loop.listen(anyPort, {
      data: (conn, lease) => this.#answer(conn, lease.copy(), replies),
      close: (conn) => void this.#silent.delete(conn),
    });
    useTexts(
      hosts,
      `nameserver [127.0.0.1]:${this.#listener.address.port}\n` +
        `options use-vc timeout:30 attempts:1 ${options}\n`,
    );
  }

  /** How many ask and are not answered. */
  get waiting(): number {
    return this.#silent.size;
  }

  close(): void {
    for (const conn of this.#silent) conn.abort();
    this.#listener.close();
  }

  /** A question comes in one piece: it is short, and sent at once. */
  #answer(conn: Connection, message: Uint8Array, replies: Readonly<Record<string, Reply>>): void {
    const question = message.subarray(2);
    const name = nameOf(question);
    this.asked.push(name);
    const reply = replies[name] ?? "no such name";
    if (reply === "silence") return void this.#silent.add(conn);
    const kind = question[question.length - 3];
    const answer = answerTo(question, kind, reply);
    conn.send(Uint8Array.of(answer.length >> 8, answer.length & 255, ...answer));
  }
}

/** The bytes of an answer to a question. */
export function answerTo(
  question: Uint8Array,
  kind: number,
  reply: Exclude<Reply, "silence">,
): Uint8Array {
  const isCode = typeof reply === "string";
  const addresses = isCode
    ? []
    : reply.map(bytesOf).filter(({ length }) => length === (kind === addressType ? 4 : 16));
  const header = [...question.subarray(0, 2), 0x81, 0x80 | (isCode ? codes[reply] : 0)];
  const counts = [0, 1, 0, addresses.length, 0, 0, 0, 0];
  const records = addresses.flatMap((address) => {
    return [0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 9, 0, address.length, ...address];
  });
  return Uint8Array.from([...header, ...counts, ...question.subarray(12), ...records]);
}

/** The name that is asked for. */
export function nameOf(question: Uint8Array): string {
  const labels: string[] = [];
  for (let at = 12; question[at] !== 0; at += 1 + question[at]) {
    const label = question.subarray(at + 1, at + 1 + question[at]);
    labels.push(String.fromCharCode(...label));
  }
  return labels.join(".");
}

/** An IPv4 address, or an IPv6 one that ends with `::` and one number. */
function bytesOf(address: string): readonly number[] {
  if (!address.includes(":")) return address.split(".").map(Number);
  const [head, tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":").map((group) => parseInt(group, 16));
  const words = [...groups, ...new Array<number>(7 - groups.length).fill(0), parseInt(tail, 16)];
  return words.flatMap((word) => [word >> 8, word & 255]);
}
