import type { WorldMetas } from '../api.ts';
import { tensorsByName } from '../update/tensor-list.ts';

/** A set of tensors as bits, least significant first, which is small enough to send to every rank. */
export function setOf(indexes: Iterable<number>, count: number): Uint8Array {
  const bits = new Uint8Array(Math.ceil(count / 8));
  for (const index of indexes) bits[index >> 3]! |= 1 << (index & 7);
  return bits;
}

/** The union of the sets. */
export function unionOf(sets: readonly Uint8Array[], count: number): Uint8Array {
  const union = new Uint8Array(Math.ceil(count / 8));
  for (const set of sets) for (const [at, bits] of set.entries()) union[at]! |= bits;
  return union;
}

/** Whether a tensor is in a set. */
export const has = (set: Uint8Array, index: number): boolean => ((set[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;

/** Whether a set is empty. */
export const isEmpty = (set: Uint8Array): boolean => set.every((bits) => bits === 0);

/** Metas with only the tensors of a set, whose indexes are those of `tensorsByName`. Returns the same object if all are in it. */
export function metasOf(metas: WorldMetas, set: Uint8Array): WorldMetas {
  const wanted = new Set(tensorsByName(metas).metas.filter((_, index) => has(set, index)));
  let isWhole = true;
  const some = metas.map((rankMetas) => {
    const tensors = rankMetas.tensors.filter((tensor) => wanted.has(tensor));
    isWhole &&= tensors.length === rankMetas.tensors.length;
    return { ...rankMetas, tensors };
  });
  return isWhole ? metas : some;
}
