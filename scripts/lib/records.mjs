// Reads what tests tell about themselves: lines that they append to the file that the environment
// variable TWINPOLL_TEST_RECORD names (tests/support/record.ts, zig/sys/record_test.zig).
//
// A line is a word and its fields, separated by tabs:
//   kernel   VERSION
//   offers   BACKEND                         the probe says that it works here
//   opened   BACKEND RUNG FEATURES FLAGS     a test has opened a loop with it
//   skipped  NAME REASON                     the name is empty where a test does not know its own

/**
 * @typedef {object} Opened
 * @property {Set<number>} rungs
 * @property {Set<string>} features Names of the features that were granted.
 * @property {Set<string>} flags Names of the set-up flags that were granted.
 */

/**
 * @typedef {object} TestRecord
 * @property {string} kernel Its version, or "".
 * @property {Set<string>} offered Backends that this machine offers.
 * @property {Map<string, Opened>} opened By backend.
 * @property {Map<string, string>} reasons Why tests are skipped, by their names.
 * @property {string[]} nameless Why tests that do not know their names are skipped, in order.
 */

/**
 * @param {string} text
 * @returns {TestRecord}
 */
export function parseRecord(text) {
  /** @type {TestRecord} */
  const record = {
    kernel: "",
    offered: new Set(),
    opened: new Map(),
    reasons: new Map(),
    nameless: [],
  };
  for (const line of text.split("\n")) {
    const [word, ...fields] = line.split("\t");
    if (word === "kernel") record.kernel = fields[0];
    else if (word === "offers") record.offered.add(fields[0]);
    else if (word === "opened") addOpened(record.opened, fields);
    else if (word === "skipped" && fields[0]) record.reasons.set(fields[0], fields[1]);
    else if (word === "skipped") record.nameless.push(fields[1]);
  }
  return record;
}

/**
 * @param {Map<string, Opened>} opened
 * @param {string[]} fields
 */
function addOpened(opened, [backend, rung, features, flags]) {
  let entry = opened.get(backend);
  if (entry === undefined) {
    opened.set(backend, entry = { rungs: new Set(), features: new Set(), flags: new Set() });
  }
  entry.rungs.add(Number(rung));
  for (const feature of (features ?? "").split(" ")) {
    if (feature !== "") entry.features.add(feature);
  }
  for (const flag of (flags ?? "").split(" ")) {
    if (flag !== "") entry.flags.add(flag.toUpperCase());
  }
}

/**
 * @param {TestRecord} record
 * @returns {string[]} Backends that this machine offers and no test has opened.
 */
export function neverOpened(record) {
  return [...record.offered].filter((backend) => !record.opened.has(backend));
}

/**
 * @param {TestRecord} record
 * @returns {string} For people: each backend with what it was granted.
 */
export function describe(record) {
  const backends = Array.from(record.opened, ([backend, { rungs, features, flags }]) => {
    if (flags.size === 0) return backend;
    const numbers = [...rungs].sort((one, other) => one - other);
    const parts = [`${numbers.length > 1 ? "rungs" : "rung"} ${numbers.join(", ")}`];
    if (features.size > 0) parts.push([...features].join(" "));
    parts.push([...flags].join(" "));
    return `${backend} (${parts.join("; ")})`;
  });
  const kernel = record.kernel === "" ? "" : ` on Linux ${record.kernel}`;
  return (backends.join(", ") || "none") + kernel;
}

/**
 * @param {string | undefined} reason
 * @returns {boolean} Whether a skip is nobody's omission: the kernel, or Valgrind in its place,
 *   lacks something.
 */
export function isExcused(reason) {
  return /^(kernel|valgrind|thread sanitizer): ./.test(reason ?? "");
}
