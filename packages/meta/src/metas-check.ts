import { invalidMetas } from './metas-error.ts';
import type { ParameterMeta, RankMetas } from './parameter-meta.ts';
import { tensorBytes } from './tensor-bytes.ts';

/**
 * Checks the invariants of {@link RankMetas}: tensors are in pool order, inside their regions and without overlaps,
 * each size matches its dtype and shape, and names are unique.
 *
 * @throws `CE_METAS_INVALID` naming the tensor
 */
export function checkRankMetas(metas: RankMetas): void {
  checkNatural(metas.rank, 'the rank');
  for (const { sizeBytes, remote } of metas.regions) {
    checkNatural(sizeBytes, 'the size of a region');
    if (remote !== undefined) checkNatural(remote.sizeBytes, 'the remote size of a region');
  }
  const names = new Set<string>();
  let region = 0;
  let end = 0;
  for (const tensor of metas.tensors) {
    if (tensor.region !== region) end = 0;
    checkPlace(tensor, metas, region, end);
    if (names.size === names.add(tensor.name).size) {
      throw invalidMetas(`rank ${metas.rank} has it twice, expected each name once`, { tensor: tensor.name });
    }
    region = tensor.region;
    end = tensor.offsetBytes + tensor.sizeBytes;
  }
}

/** Checks that every rank appears once. @throws `CE_METAS_INVALID` */
export function checkRanks(world: readonly RankMetas[]): void {
  const ranks = new Set<number>();
  for (const { rank } of world) {
    if (ranks.size === ranks.add(rank).size) throw invalidMetas(`rank ${rank} appears twice, expected each rank once`);
  }
}

/** @param region Region of the previous tensor. @param end End of the previous tensor, or 0 in a new region. */
function checkPlace(tensor: ParameterMeta, { regions }: RankMetas, region: number, end: number): void {
  const { name, dtype, shape, sizeBytes, offsetBytes } = tensor;
  const fail = (what: string): never => {
    throw invalidMetas(what, { tensor: name });
  };
  const holder = regions[tensor.region];
  if (holder === undefined)
    throw invalidMetas(`its region is ${tensor.region}, expected one below ${regions.length}`, { tensor: name });
  if (tensor.region < region) fail(`its region ${tensor.region} comes after region ${region}, expected pool order`);
  if (!Number.isSafeInteger(offsetBytes) || offsetBytes < end) {
    fail(`its offset is ${offsetBytes}, expected at least ${end}, where the tensor before it ends`);
  }
  if (!(offsetBytes + sizeBytes <= holder.sizeBytes)) {
    fail(`it ends at ${offsetBytes + sizeBytes}, outside region ${tensor.region} of ${holder.sizeBytes} bytes`);
  }
  let wantedBytes = 0;
  try {
    wantedBytes = tensorBytes(dtype, shape);
  } catch (error) {
    fail((error as RangeError).message);
  }
  if (sizeBytes !== wantedBytes) fail(`it has ${sizeBytes} bytes, expected ${wantedBytes} for ${dtype} of [${shape}]`);
}

function checkNatural(value: number, what: string): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw invalidMetas(`${what} is ${value}, expected a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`);
  }
}
