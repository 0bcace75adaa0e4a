// Where things are in a clone. Every path is absolute, so no step depends on the current folder.

import { fileURLToPath } from "node:url";
import { dirname, join } from "node:path";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const modules = join(root, "node_modules");
export const dist = join(root, "dist");
/** Output and reports of the last test run, one pair of files per stage. */
export const results = join(root, ".test-results");
