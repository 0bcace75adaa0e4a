// What `bench/native/stream.zig` expects of every server: see there.

/** Bytes of one send. */
export const messageBytes: number = 64 * 1024;

/** Whether the first byte of a connection asks for a stream. */
export function isDownload(first: number): boolean {
  return first === "D".charCodeAt(0);
}

/** One message. The period of the bytes divides its length, so that each goes on from the last. */
export function pattern(): Uint8Array {
  return Uint8Array.from({ length: messageBytes }, (_, place) => place & 0xff);
}

/** How many bytes came, the lowest byte first. */
export function answer(bytes: number): Uint8Array {
  const result = new Uint8Array(8);
  new DataView(result.buffer).setBigUint64(0, BigInt(bytes), true);
  return result;
}
