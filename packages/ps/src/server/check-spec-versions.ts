import { CheckpointEngineError, type SpecVersion } from '@checkpoint-engine/interface';
import type { ParameterServerOptions } from '../api.ts';

/** The version of the contracts that this package implements. */
const SPEC_VERSION: SpecVersion = 1;

/** Rejects parts for another version of the contracts before they are used. @throws `CE_NOT_SUPPORTED` */
export function checkSpecVersions({
  device,
  broadcast,
  p2p,
}: Pick<ParameterServerOptions, 'device' | 'broadcast' | 'p2p'>): void {
  const parts = { device, 'broadcast transport': broadcast, 'P2P transport': p2p };
  for (const [what, part] of Object.entries(parts)) {
    const version: number | undefined = part?.specVersion;
    if (part === undefined || version === SPEC_VERSION) continue;
    throw new CheckpointEngineError(
      'CE_NOT_SUPPORTED',
      `The ${what} "${part.name}" is written for version ${version} of the contracts, this server for version ${SPEC_VERSION}`,
      'Install matching releases of both',
    );
  }
}
