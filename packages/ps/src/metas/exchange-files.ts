import type { Store, WaitOptions } from '@checkpoint-engine/interface';
import { decode, encode } from '@msgpack/msgpack';
import { exchangeThroughFirst } from '../util/exchange.ts';
import { checkSameFiles, digestOf, type SeenFiles } from './seen-files.ts';

/** The first member's answer: all views are equal, or they must be compared. */
const [EQUAL, COMPARE] = [new Uint8Array([0]), new Uint8Array([1])];

/**
 * Lets all members compare what they saw of a checkpoint's files: first by digests, and file by file if these differ,
 * as they do between hosts.
 *
 * @param own This member's view; `undefined` if it did not register the checkpoint as a share of files.
 * @throws The errors of `own` at any member; `CE_PLAN_MISMATCH`.
 */
export async function exchangeFiles(
  store: Store,
  checkpoint: string,
  own: () => SeenFiles | undefined,
  options?: WaitOptions,
): Promise<void> {
  if (store.members.length === 1) return;
  const digest = (): Uint8Array => {
    const seen = own();
    return new TextEncoder().encode(seen === undefined ? '' : digestOf(seen));
  };
  const compareDigests = async (digests: readonly Uint8Array[]): Promise<Uint8Array> => {
    const texts = new Set(digests.map((bytes) => new TextDecoder().decode(bytes)));
    return texts.size === 1 ? EQUAL : COMPARE;
  };
  const [verdict] = await exchangeThroughFirst(store, `files:${checkpoint}`, digest, compareDigests, options);
  if (verdict === EQUAL[0]) return;
  const compareFiles = async (values: readonly Uint8Array[]): Promise<Uint8Array> => {
    const views = values.map((bytes) => (decode(bytes) as SeenFiles | null) ?? undefined);
    checkSameFiles(checkpoint, new Map(store.members.map((rank, index) => [rank, views[index]])));
    return EQUAL;
  };
  await exchangeThroughFirst(store, `file-lists:${checkpoint}`, () => encode(own() ?? null), compareFiles, options);
}
