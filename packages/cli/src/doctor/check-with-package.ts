import { CheckpointEngineError, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { loadPackage } from '../rank/load-package.ts';
import type { Check } from './check.ts';

type Found = Pick<Check, 'status' | 'value' | 'hint' | 'details'>;

/** A check that an optional package performs. */
export interface PackageCheck<Module> {
  readonly about: Pick<Check, 'id' | 'title'>;
  /** The purpose of the package; completes "none; ". */
  readonly need: string;
  /** Name on npm. */
  readonly name: string;
  readonly load: () => Promise<Module>;
  readonly check: (module: Module) => Found | Promise<Found>;
}

/** Performs the check, or reports that the package is not installed. Never rejects. */
export async function checkWithPackage<Module>({
  about,
  need,
  name,
  load,
  check,
}: PackageCheck<Module>): Promise<Check> {
  try {
    return { ...about, ...(await check(await loadPackage(name, load, need))) };
  } catch (error) {
    const { message, hint, code } = toCheckpointEngineError(error);
    const isAbsent = CheckpointEngineError.isInstance(error) && code === 'CE_PACKAGE_NOT_FOUND';
    return {
      ...about,
      status: 'optional',
      value: isAbsent ? `${name} is not installed; ${need}` : `${message}; ${need}`,
      hint,
    };
  }
}
