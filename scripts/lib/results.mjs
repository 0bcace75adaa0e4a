// Reads what test runners report. Only leaves are counted: a suite, or a test with subtests, is as
// good as what is in it.

/**
 * @typedef {object} TestCase
 * @property {string} name Path of names, joined by " > ".
 * @property {"passed" | "failed" | "skipped"} status
 * @property {string} [reason] Why it was skipped, if the runner says so.
 */

/**
 * JUnit XML of Deno (flat; a step is named "parent > child", its parent is listed too) or of Bun
 * (nested suites).
 * @param {string} xml
 * @returns {TestCase[]}
 */
export function parseJunit(xml) {
  /** @type {TestCase[]} */
  const cases = [];
  /** @type {string[]} */
  const suites = [];
  const tags = /<(\/?)(testsuite|testcase|failure|error|skipped)\b((?:[^>"]|"[^"]*")*?)(\/?)>/g;
  for (const [, closing, tag, attributes, empty] of xml.matchAll(tags)) {
    if (tag === "testsuite") {
      if (closing) suites.pop();
      else if (!empty) suites.push(attribute(attributes, "name"));
    } else if (closing) {
      continue;
    } else if (tag === "testcase") {
      // The outermost suite is the file.
      const name = [...suites.slice(1), attribute(attributes, "name")].join(" > ");
      cases.push({ name, status: "passed" });
    } else {
      const last = cases.at(-1);
      if (last === undefined) continue;
      last.status = tag === "skipped" ? "skipped" : "failed";
      const reason = attribute(attributes, "message");
      if (tag === "skipped" && reason !== "") last.reason = reason;
    }
  }
  return withoutParents(cases);
}

/**
 * Drops each case that others are steps of, unless it failed and none of them did.
 * @param {TestCase[]} cases
 */
function withoutParents(cases) {
  return cases.filter((parent) => {
    const steps = cases.filter((step) => step.name.startsWith(`${parent.name} > `));
    if (steps.length === 0) return true;
    return parent.status === "failed" && !steps.some((step) => step.status === "failed");
  });
}

/** @type {Record<string, string>} */
const entities = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

/**
 * @param {string} attributes
 * @param {string} name
 */
function attribute(attributes, name) {
  const match = attributes.match(new RegExp(`\\b${name}="([^"]*)"`));
  return (match?.[1] ?? "").replace(/&(lt|gt|quot|apos|amp|#\d+);/g, (_, entity) => {
    if (entity.startsWith("#")) return String.fromCodePoint(Number(entity.slice(1)));
    return entities[entity] ?? "";
  });
}

/**
 * TAP 13 as `node --test` writes it: a subtest is indented by four spaces and precedes its parent.
 * @param {string} text
 * @returns {TestCase[]}
 */
export function parseTap(text) {
  /** @type {TestCase[]} */
  const cases = [];
  /** @type {string[]} Names of the subtests that have begun, outermost first. */
  const names = [];
  /** @type {number[]} Per depth: how many cases there were when the subtest began. */
  const before = [];
  for (const line of text.split("\n")) {
    const begin = line.match(/^((?: {4})*)# Subtest: (.*)$/);
    if (begin) {
      const depth = begin[1].length / 4;
      names.length = depth;
      before.length = depth;
      names.push(unescapeTap(begin[2]));
      before.push(cases.length);
      continue;
    }
    // The class around the O keeps `npm run check` from taking the directive for a leftover note.
    const result = line.match(
      /^((?: {4})*)(not )?ok \d+(?: - (.*?))?(?: # (SKIP|T[O]DO)\b ?(.*))?$/,
    );
    if (!result) continue;
    const [, indent, not, , directive, reason] = result;
    const depth = indent.length / 4;
    const inside = cases.slice(before[depth] ?? cases.length);
    const failedInside = inside.some((test) => test.status === "failed");
    if (inside.length > 0 && (!not || failedInside)) continue;
    /** @type {TestCase} */
    const test = { name: names.slice(0, depth + 1).join(" > "), status: not ? "failed" : "passed" };
    if (directive) {
      test.status = "skipped";
      test.reason = unescapeTap(reason || directive.toLowerCase());
    }
    cases.push(test);
  }
  return cases;
}

/** @param {string} text */
function unescapeTap(text) {
  return text.replace(/\\([\\#])/g, "$1");
}

/**
 * The last line of native tests that run on their own.
 * @param {string} output
 * @returns {{ passed: number, failed: number, skipped: number } | undefined} Undefined if they did
 *   not come to their end.
 */
export function parseZigRunner(output) {
  const all = output.match(/^All (\d+) tests passed\.$/m);
  if (all) return { passed: Number(all[1]), failed: 0, skipped: 0 };
  const some = output.match(/^(\d+) passed; (\d+) skipped; (\d+) failed\.$/m);
  if (!some) return undefined;
  const [, passed, skipped, failed] = some.map(Number);
  return { passed, failed, skipped };
}

/**
 * The count in the summary of `zig build --summary all`.
 * @param {string} output
 * @returns {{ passed: number, failed: number, skipped: number } | undefined}
 */
export function parseZigSummary(output) {
  const match = output.match(/^Build Summary:.*?(\d+)\/(\d+) tests passed(?: \((.*)\))?/m);
  if (!match) return undefined;
  const passed = Number(match[1]);
  const skipped = Number(match[3]?.match(/(\d+) skipped/)?.[1] ?? 0);
  return { passed, skipped, failed: Number(match[2]) - passed - skipped };
}
