import { fileURLToPath } from 'node:url';

export { fetchedPackages, python, reasonToSkip, reasonToSkipSources } from '../../../tools/test/python.ts';

export function scriptPath(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}
