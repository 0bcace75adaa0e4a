// The two figures that reports are made of.

/** The middle value; the mean of the middle two of an even number; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle];
  return sorted.length === 0 ? NaN : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The median of the ratios of figures that were measured in the same round. */
export function pairedRatio(ours: readonly number[], theirs: readonly number[]): number {
  const count = Math.min(ours.length, theirs.length);
  return median(Array.from({ length: count }, (_, round) => ours[round] / theirs[round]));
}

/** So many significant digits as mean something; keeps JSON short. */
export function rounded(value: number, digits = 4): number {
  return Number(value.toPrecision(digits));
}
