// Tries to listen on, or to connect to, a path without the right to it, and tells what came of it.

import process from "node:process";
import { type BackendName, type IoError, Loop } from "../../mod.ts";

const [backend, verb, endpoint] = process.argv.slice(2);
using loop = new Loop({ backend: backend as BackendName });

function tell(error: IoError): void {
  const { code, syscall, advice } = error;
  console.log(JSON.stringify({ code, syscall, advice }));
}

if (verb === "listen") {
  try {
    loop.listen(endpoint, {});
    console.log("{}");
  } catch (error) {
    tell(error as IoError);
  }
} else {
  let isOver = false;
  loop.connect(endpoint, {
    close(_, error): void {
      isOver = true;
      if (error !== null) tell(error);
    },
  });
  for (let turn = 0; turn < 1_000 && !isOver; turn++) loop.turn(10_000);
}
