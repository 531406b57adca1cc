import type { RankMetas } from '@checkpoint-engine/meta';
import type { Entry } from '../pool/checkpoints.ts';

/** Where a rank is, as its metas tell others. */
export type RankPlace = Pick<RankMetas, 'rank' | 'host' | 'deviceUuid' | 'p2pAddress' | 'nics'>;

/** What a rank tells of a checkpoint that it holds. */
export function metasAt(place: RankPlace, checkpoint: string, { held, offers }: Entry): RankMetas {
  return {
    checkpoint,
    ...place,
    regions: held.regions.map((region) => ({ sizeBytes: region.sizeBytes, remote: offers.get(region)?.remote })),
    tensors: held.tensors,
  };
}

/** Whether metas were told by the rank there, and not by one of the same number in another world. */
export function isAt(metas: RankMetas, { rank, host, deviceUuid, p2pAddress }: RankPlace): boolean {
  return (
    metas.rank === rank && metas.host === host && metas.deviceUuid === deviceUuid && metas.p2pAddress === p2pAddress
  );
}
