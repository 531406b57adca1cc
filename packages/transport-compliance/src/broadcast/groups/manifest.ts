import assert from 'node:assert/strict';
import type { TestGroup } from '../../suite/define-suite.ts';

/** Tests of the properties that the transport declares. */
export function manifestTests(): TestGroup<'broadcast'> {
  return {
    name: 'manifest',
    tests: [
      {
        name: 'declares its name, the version of its contract, and everything that it supports',
        async run(stage) {
          const [member] = await stage.members(1);
          const { specVersion, name, supports } = await member!.manifest();
          assert.equal(specVersion, 1);
          assert.ok(name.length > 0, 'The name is empty');
          assert.ok(supports.memory.length > 0, 'It supports no kind of memory');
          for (const kind of supports.memory) assert.ok(['host', 'device'].includes(kind), `Kind of memory: ${kind}`);
          assert.equal(typeof supports.outOfPlace, 'boolean');
          assert.equal(typeof supports.sharedTarget, 'boolean');
          const { maxPending } = supports;
          assert.ok(Number.isSafeInteger(maxPending) && maxPending >= 1, `maxPending: ${maxPending}`);
        },
      },
    ],
  };
}
