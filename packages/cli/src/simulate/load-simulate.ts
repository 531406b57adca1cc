import { loadPackage } from '../rank/load-package.ts';

/** The package that simulates. */
export type SimulatePackage = typeof import('@checkpoint-engine/simulate');

/** @throws {CheckpointEngineError} `CE_PACKAGE_NOT_FOUND` */
export function loadSimulate(): Promise<SimulatePackage> {
  return loadPackage('@checkpoint-engine/simulate', () => import('@checkpoint-engine/simulate'), 'simulate needs it');
}
