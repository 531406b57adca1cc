import { expect, it } from 'vitest';
import { UpdateProgress } from './update-progress.ts';

it('lists engines by the index of their group, regardless of the order in which ranks ask them', () => {
  const progress = new UpdateProgress();
  for (const groupIndex of [2, 0, 1])
    progress.add({ type: 'engine', rank: groupIndex, groupIndex, endpoint: `e${groupIndex}`, state: 'asked', atMs: 1 });
  expect(progress.engines.map(({ endpoint }) => endpoint)).toEqual(['e0', 'e1', 'e2']);
});
