// A table for people.

import Table from "cli-table3";

/** First column to the left, all others to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const result = new Table({
    head: [...head],
    colAligns: head.map((_, column) => column === 0 ? "left" : "right"),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) result.push([...row]);
  return result.toString();
}
