import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import { processMappings } from './mappings.ts';
import { all, type Member, withGroup } from './world.ts';

const settle = (promises: Promise<unknown>[]) => Promise.allSettled(promises);
const send = (members: Member[], root: number) => members.map(({ group, target }) => group.broadcast(root, { target }));
const byteOf = ({ memory }: Member) => memory.view(100, 1)[0];
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('ShmGroup', () => {
  it('sends only from memory that peers can open, and receives into any', () =>
    withGroup(2, async ([root, receiver]) => {
      const own = all(await root!.device.allocateHost(1000));
      await expect(root!.group.broadcast(0, { target: own })).rejects.toMatchObject({ code: 'CE_NOT_SUPPORTED' });
      const into = await receiver!.device.allocateHost(1000);
      await Promise.all([
        root!.group.broadcast(0, { target: root!.target }),
        receiver!.group.broadcast(0, { target: all(into) }),
      ]);
      expect(new Set(into.view(0, 1000))).toEqual(new Set([1]));
      // Out of place the root may also receive into any memory.
      await Promise.all([
        root!.group.broadcast(0, { source: root!.target, target: own }),
        receiver!.group.broadcast(0, { target: all(into) }),
      ]);
    }));

  it('treats the same range as source and target as in place', () =>
    withGroup(2, async (members) => {
      await Promise.all(members.map(({ group, target }) => group.broadcast(1, { target, source: { ...target } })));
      expect(members.map(byteOf)).toEqual([2, 2]);
    }));

  it('waits for a slow receiver before the source may be overwritten', () => {
    let receive = (): void => {};
    const told = new Promise<void>((resolve) => {
      receive = resolve;
    });
    return withGroup(
      3,
      async (members) => {
        const [root, slow, quick] = send(members, 0);
        await quick;
        const early = await Promise.race([root, slow, pause(50).then(() => 'pending')]);
        receive();
        expect(early).toBe('pending');
        await Promise.all([root, slow]);
      },
      (rank) => (rank === 1 ? { beforeReceive: () => told } : {}),
    );
  });

  it('fails on every member if one of them cannot receive', () =>
    withGroup(
      3,
      async (members) => {
        const [root, broken] = await settle(send(members, 0));
        expect(broken).toMatchObject({ status: 'rejected', reason: { code: 'CE_DEVICE_FAILED' } });
        expect(root).toMatchObject({ status: 'rejected', reason: { code: 'CE_DEVICE_FAILED', message: 'No luck' } });
        for (const late of await settle(send(members, 1))) {
          expect(late).toMatchObject({ status: 'rejected', reason: { message: 'No luck' } });
        }
      },
      (rank) => {
        if (rank !== 1) return {};
        return {
          beforeReceive: async () => {
            throw new CheckpointEngineError('CE_DEVICE_FAILED', 'No luck', 'Try again');
          },
        };
      },
    ));

  it('reports that a member has left instead of waiting for it', () =>
    withGroup(3, async (members) => {
      await Promise.all(send(members, 0));
      const left = members[1]!.group.close();
      const waiting = settle(send([members[2]!], 0));
      await left;
      const [outcome] = await waiting;
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'CE_CLOSED', peer: 1 } });
    }));

  it('closes when its pending broadcasts are done, not before', () =>
    withGroup(2, async (members) => {
      const receiving = members[1]!.group.broadcast(0, { target: members[1]!.target });
      const closing = members[1]!.group.close();
      await expect(members[1]!.group.broadcast(0, members[1]!)).rejects.toMatchObject({ code: 'CE_CLOSED' });
      await pause(50);
      await members[0]!.group.broadcast(0, { target: members[0]!.target });
      await Promise.all([receiving, closing]);
      expect(byteOf(members[1]!)).toBe(1);
    }));

  it('fails with its store', () =>
    withGroup(2, async (members) => {
      const waiting = settle([members[1]!.group.broadcast(0, { target: members[1]!.target })]);
      const reason = new CheckpointEngineError('CE_FILE_TRUNCATED', 'The file ends early', 'Write it again');
      await members[0]!.store.abort(reason);
      const [outcome] = await waiting;
      expect(outcome).toMatchObject({ reason: { code: 'CE_FILE_TRUNCATED', message: 'The file ends early' } });
    }));

  it("closes peers' memory soon after its last use", () =>
    withGroup(2, async (members) => {
      await Promise.all(send(members, 0));
      const used = processMappings();
      await expect.poll(processMappings).toBeLessThan(used);
      await Promise.all(send(members, 0));
    }));
});
