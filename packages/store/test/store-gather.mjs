// Many ranks of one world in a process: they gather, check what they got, and leave.
import process from 'node:process';
import { connectStore } from '@checkpoint-engine/store';

const { first, count, worldSize, sizeBytes, rounds, ...options } = JSON.parse(process.argv[2]);
await Promise.all(
  Array.from({ length: count }, async (_, index) => {
    const rank = first + index;
    const store = await connectStore({ ...options, rank, worldSize, timeoutMs: 120_000 });
    for (let round = 0; round < rounds; round++) {
      await store.barrier('start');
      const values = await store.allGather('metas', new Uint8Array(sizeBytes).fill(rank + round));
      if (values.length !== worldSize) throw new Error('Wrong number of values');
      values.forEach((value, from) => {
        if (value.byteLength !== sizeBytes || value.at(-1) !== ((from + round) & 255))
          throw new Error(`Wrong value of ${from}`);
      });
    }
    await store.barrier('end');
    await store.close();
  }),
);
