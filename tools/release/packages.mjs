import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's folder. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');

const dependenciesOf = ({ dependencies, optionalDependencies }) =>
  Object.keys({ ...dependencies, ...optionalDependencies });

/** The published packages of the repository at `root`: `{ folder, manifest }`, each after its dependencies. */
export function publicPackages(root = ROOT) {
  const all = readdirSync(join(root, 'packages'))
    .map((name) => join(root, 'packages', name))
    .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) }))
    .filter(({ manifest }) => !manifest.private);
  const byName = new Map(all.map((entry) => [entry.manifest.name, entry]));
  const ordered = new Set();
  const add = (entry) => {
    for (const name of dependenciesOf(entry.manifest)) if (byName.has(name)) add(byName.get(name));
    ordered.add(entry);
  };
  for (const entry of all) add(entry);
  return [...ordered];
}
