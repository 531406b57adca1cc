// One group of the transport: its members exchange bytes through an all-gather of the store.
import { CheckpointEngineError, isHostMemory } from '@checkpoint-engine/interface';

/** @import { BroadcastGroup, ErrorCode, Store } from '@checkpoint-engine/interface' */

/** @type {(code: ErrorCode, what: string, hint: string) => CheckpointEngineError} */
const fail = (code, what, hint) => new CheckpointEngineError(code, `The transport through-store ${what}`, hint);
export const closed = () => fail('CE_CLOSED', 'is closed', 'Create a new one');

/** @type {(store: Store) => BroadcastGroup} */
export function groupOf(store) {
  const { members, rank } = store;
  let isClosed = false;
  /** @type {Promise<void> | undefined} */
  let pending;
  /** @type {(root: number, bytes: Uint8Array) => Promise<void>} */
  async function send(root, bytes) {
    const about = Buffer.from(`${root} ${bytes.length}`.padEnd(32));
    const sent = await store.allGather('broadcast', rank === root ? Buffer.concat([about, bytes]) : about);
    if (!sent.every((value) => about.equals(value.subarray(0, 32)))) throw new RangeError('Members disagree');
    if (rank !== root) bytes.set(sent[members.indexOf(root)]?.subarray(32) ?? []);
  }
  return {
    members,
    async broadcast(root, { target: { memory, offsetBytes, sizeBytes }, source }) {
      if (isClosed) throw closed();
      if (!members.includes(root)) throw new RangeError(`Rank ${root} is not in the group of ${members}`);
      if (source && source.sizeBytes !== sizeBytes) throw new RangeError('Source and target differ in size');
      if (source) throw fail('CE_NOT_SUPPORTED', 'sends in place only', 'Omit the source');
      if (!isHostMemory(memory)) throw fail('CE_NOT_SUPPORTED', 'sends host memory only', 'Use a host device');
      if (pending) throw fail('CE_NOT_SUPPORTED', 'sends one message at a time', 'Wait for the pending broadcast');
      pending = send(root, memory.view(offsetBytes, sizeBytes)).finally(() => {
        pending = undefined;
      });
      await pending;
    },
    async broadcastShared() {
      throw isClosed
        ? closed()
        : fail('CE_NOT_SUPPORTED', 'does not support shared memory', 'Give each member its own');
    },
    abort: (reason) => void store.abort(reason),
    async close() {
      isClosed = true;
      await pending?.catch(() => {});
    },
  };
}
