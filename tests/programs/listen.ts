// Tries to listen: `listen ENDPOINT`. Prints where it listens, or the error, as one JSON object.

import process from "node:process";
import { IoError, Loop } from "../../mod.ts";

const loop = new Loop();
try {
  const { endpoint } = loop.listen(process.argv[2], {});
  console.log(JSON.stringify({ endpoint }));
} catch (error) {
  if (!(error instanceof IoError)) throw error;
  const { code, errno, syscall, message, advice } = error;
  console.log(JSON.stringify({ code, errno, syscall, message, advice }));
}
loop.close();
