// Whether a product is at least as new as what it is made of.

import { statSync } from "node:fs";

/** False without the product or with a newer source; sources that do not exist are old. */
export function upToDate(product: string, sources: readonly string[]): boolean {
  const made = statSync(product, { throwIfNoEntry: false })?.mtimeMs;
  if (made === undefined) return false;
  return sources.every((source) => {
    return (statSync(source, { throwIfNoEntry: false })?.mtimeMs ?? 0) <= made;
  });
}
