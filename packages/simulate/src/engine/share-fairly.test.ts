import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FairNetwork } from './fair-network.ts';
import { shareFairly } from './share-fairly.ts';

/** Starts flows at the same time and returns their rates. */
function ratesOf(capacities: readonly number[], paths: readonly (readonly (readonly [number, number])[])[]): number[] {
  const network = new FairNetwork(() => {});
  for (const [index, rate] of capacities.entries()) network.addLink('nic-in', `link ${index}`, rate / 1e6);
  for (const path of paths) network.start(0, path, 1e9, () => {});
  const flows = [...new Set(network.links.flatMap(({ flows: own }) => [...own]))];
  shareFairly(network.links, flows, (index) => network.links[index]!);
  return paths.map((path) => flows.find((flow) => flow.path === path)!.nextBytesPerMs);
}

describe('shareFairly', () => {
  it('divides a link evenly', () => {
    expect(ratesOf([12], [[[0, 1]], [[0, 1]], [[0, 1]]])).toEqual([4, 4, 4]);
  });

  it('assigns what another flow cannot use', () => {
    expect(
      ratesOf(
        [10, 2],
        [
          [
            [0, 1],
            [1, 1],
          ],
          [[0, 1]],
        ],
      ),
    ).toEqual([2, 8]);
  });

  it('counts the weight of a flow on a link', () => {
    expect(ratesOf([10], [[[0, 4]], [[0, 1]]])).toEqual([2, 2]);
  });

  const capacity = fc.integer({ min: 1, max: 1000 });
  const network = fc.array(capacity, { minLength: 1, maxLength: 6 }).chain((capacities) => {
    const step = fc.tuple(fc.integer({ min: 0, max: capacities.length - 1 }), fc.constantFrom(0.25, 1, 2));
    const path = fc.uniqueArray(step, { minLength: 1, maxLength: 4, selector: ([link]) => link });
    return fc.tuple(fc.constant(capacities), fc.array(path, { minLength: 1, maxLength: 12 }));
  });

  it('exceeds no link, and every flow has a full link that is not faster elsewhere', () => {
    fc.assert(
      fc.property(network, ([capacities, paths]) => {
        const rates = ratesOf(capacities, paths);
        const loads = capacities.map((_, link) =>
          paths.reduce((sum, path, at) => sum + (path.find(([index]) => index === link)?.[1] ?? 0) * rates[at]!, 0),
        );
        for (const [link, load] of loads.entries()) expect(load).toBeLessThanOrEqual(capacities[link]! * (1 + 1e-9));
        for (const [at, path] of paths.entries()) {
          const isLimited = path.some(([link]) => {
            const isFull = loads[link]! >= capacities[link]! * (1 - 1e-9);
            const others = paths.flatMap((other, index) =>
              other.some(([own]) => own === link) ? [rates[index]!] : [],
            );
            return isFull && others.every((rate) => rate <= rates[at]! * (1 + 1e-9));
          });
          expect(isLimited).toBe(true);
        }
      }),
    );
  });
});
