import assert from 'node:assert/strict';
import type { TestGroup } from '../../suite/define-suite.ts';
import { rejects } from '../../suite/outcome.ts';
import { endpoint, landing, openAll, readAndVerify, share } from '../share.ts';

/** Tests of the properties that the transport declares. */
export function manifestTests(): TestGroup<'p2p'> {
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
          for (const kinds of [supports.registers, supports.readsInto]) {
            assert.ok(kinds.length > 0, 'It supports no kind of memory');
            for (const kind of kinds) assert.ok(['host', 'device'].includes(kind), `Kind of memory: ${kind}`);
          }
        },
      },
    ],
  };
}

/** Tests of opening and closing. */
export function lifecycleTests(): TestGroup<'p2p'> {
  const range = (buffer: string) => ({ buffer, offsetBytes: 0, sizeBytes: 10 });
  return {
    name: 'lifecycle',
    tests: [
      {
        name: 'an endpoint has its own address, and keeps it',
        async run(stage) {
          const members = await stage.members();
          const addresses = await openAll(members);
          for (const address of addresses) assert.ok(address.length > 0, 'The address is empty');
          assert.equal(new Set(addresses).size, addresses.length, `Addresses: ${addresses.join(', ')}`);
          await share(stage, members[0]!, addresses[0]!, 1000);
          assert.equal(await members[0]!.address({ endpoint }), addresses[0], 'The address has changed');
        },
      },
      {
        name: 'an endpoint can be closed twice, and is closed afterwards',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          const [peer] = await openAll([owner!, reader!]);
          const { remote } = await share(stage, owner!, peer!, 1000);
          const buffer = await landing(stage, reader!, 1000);
          await reader!.closeEndpoint({ endpoint });
          await reader!.closeEndpoint({ endpoint });
          const local = range(buffer);
          const read = reader!.read({ endpoint, peer: peer!, reads: [{ remote, remoteOffsetBytes: 0, local }] });
          await rejects(read, { code: 'CE_CLOSED' }, 'A read on a closed endpoint');
          const register = reader!.register({ endpoint, range: range(buffer), as: stage.newName('registration') });
          await rejects(register, { code: 'CE_CLOSED' }, 'A registration on a closed endpoint');
          await rejects(reader!.address({ endpoint }), { code: 'CE_CLOSED' }, 'The address of a closed endpoint');
        },
      },
      {
        name: 'an endpoint is opened again after it was closed',
        async run(stage) {
          const [owner, reader] = await stage.members(2);
          for (let round = 0; round < 3; round++) {
            const [peer] = await openAll([owner!, reader!]);
            await readAndVerify(stage, reader!, await share(stage, owner!, peer!, 1000 + round));
            await Promise.all([owner!, reader!].map((member) => member.closeEndpoint({ endpoint })));
          }
        },
      },
      {
        name: 'closing the transport closes its endpoints, and it opens no more',
        async run(stage) {
          const [member] = await stage.freshMembers(1);
          await openAll([member!]);
          const buffer = await landing(stage, member!, 1000);
          await member!.closeTransport();
          await member!.closeTransport();
          const register = member!.register({ endpoint, range: range(buffer), as: stage.newName('registration') });
          await rejects(register, { code: 'CE_CLOSED' }, 'A registration on a closed transport');
          await rejects(member!.open({ endpoint: 'more' }), { code: 'CE_CLOSED' }, 'Opening a closed transport');
        },
      },
    ],
  };
}
