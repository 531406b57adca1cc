import { CheckpointEngineError } from '@checkpoint-engine/interface';

/**
 * Loads an optional package.
 *
 * @param name   The name on npm.
 * @param load   The dynamic import.
 * @param reason The feature that needs the package; completes the sentence "is not installed, but".
 * @throws {CheckpointEngineError} `CE_PACKAGE_NOT_FOUND` naming the package and how to install it.
 */
export async function loadPackage<T>(name: string, load: () => Promise<T>, reason: string): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (!isAbsent(error, name)) throw error;
    throw new CheckpointEngineError(
      'CE_PACKAGE_NOT_FOUND',
      `The package ${name} is not installed, but ${reason}`,
      `Install it next to this command: npm install ${name}`,
      { cause: error },
    );
  }
}

/** Distinguishes the package itself from a package that it imports. */
function isAbsent(error: unknown, name: string): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  // Deno reports a TypeError without a code for some specifiers.
  const isResolution = code === 'ERR_MODULE_NOT_FOUND' || (code === undefined && error instanceof TypeError);
  return isResolution && error.message.includes(name);
}
