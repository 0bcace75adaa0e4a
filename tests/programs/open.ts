// Opens a loop and serves itself one client: `open BACKEND [IO_URING_OPTIONS]`. Prints the backend,
// or the error, as one JSON object.

import process from "node:process";
import { type BackendName, IoError, Loop } from "../../mod.ts";

try {
  const [backend, ioUring] = process.argv.slice(2);
  const loop = new Loop({
    backend: backend as BackendName,
    ...(ioUring === undefined ? {} : { ioUring: JSON.parse(ioUring) }),
  });
  const listener = loop.listen("tcp://127.0.0.1:0", {
    data: (conn, lease) => void conn.send(lease),
  });
  let echoed = "";
  loop.connect(listener.address, {
    open: (conn) => void conn.send("hello"),
    data(conn, lease): void {
      echoed = new TextDecoder().decode(lease.bytes);
      conn.close();
      listener.close();
    },
  });
  await loop.run();
  console.log(JSON.stringify({ backend: loop.backend, echoed }));
  loop.close();
} catch (error) {
  if (!(error instanceof IoError)) throw error;
  const { code, errno, syscall, message, advice } = error;
  console.log(JSON.stringify({ code, errno, syscall, message, advice }));
}
