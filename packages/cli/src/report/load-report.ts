import { loadPackage } from '../rank/load-package.ts';

/** Loads the package that draws reports. @throws {CheckpointEngineError} `CE_PACKAGE_NOT_FOUND` */
export function loadReport(flag: string): Promise<typeof import('@checkpoint-engine/report')> {
  return loadPackage('@checkpoint-engine/report', () => import('@checkpoint-engine/report'), `${flag} needs it`);
}
