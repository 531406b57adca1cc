import { basename, resolve } from 'node:path';
import { configError } from './config-error.ts';
import { isCheckpointName } from './flag-values.ts';

/** Returns the given name of a checkpoint, or the name of its folder. @throws `CE_CONFIG_INVALID` */
export function checkpointNameOf(given: string | undefined, path: string): string {
  const name = given ?? basename(resolve(path));
  if (isCheckpointName(name)) return name;
  throw configError(
    `${JSON.stringify(name)} is not valid as the name of a checkpoint`,
    'Choose a name with --checkpoint-name',
  );
}
