// Interleaved rounds: what disturbs the machine for a while disturbs all contestants alike.

/**
 * Visits every contestant once per round, each round starting with another one.
 *
 * @returns What the visits returned, per contestant in the order of the rounds.
 */
export async function interleave<Contestant, Result>(
  contestants: readonly Contestant[],
  rounds: number,
  visit: (contestant: Contestant, round: number) => Promise<Result>,
): Promise<Map<Contestant, Result[]>> {
  const results = new Map<Contestant, Result[]>(contestants.map((each) => [each, []]));
  for (let round = 0; round < rounds; round++) {
    for (let step = 0; step < contestants.length; step++) {
      const contestant = contestants[(round + step) % contestants.length];
      results.get(contestant)?.push(await visit(contestant, round));
    }
  }
  return results;
}
