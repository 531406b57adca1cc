import type { RankMetas } from '@checkpoint-engine/meta';
import type { Entry } from '../pool/checkpoints.ts';

/** The place of a rank, as its metas describe it. */
export type RankPlace = Pick<RankMetas, 'rank' | 'host' | 'deviceUuid' | 'p2pAddress' | 'nics'>;

/** The description of a rank's share of a checkpoint. */
export function metasAt(place: RankPlace, checkpoint: string, { held, offers }: Entry): RankMetas {
  return {
    checkpoint,
    ...place,
    regions: held.regions.map((region) => ({ sizeBytes: region.sizeBytes, remote: offers.get(region)?.remote })),
    tensors: held.tensors,
    digests: held.digests?.complete,
  };
}

/** Whether metas come from the rank at this place, and not from a rank with the same number in another world. */
export function isAt(metas: RankMetas, { rank, host, deviceUuid, p2pAddress }: RankPlace): boolean {
  return (
    metas.rank === rank && metas.host === host && metas.deviceUuid === deviceUuid && metas.p2pAddress === p2pAddress
  );
}
