// A TypeDoc plugin: uses the import specifier as the name of each module, such as "@checkpoint-engine/ps".
import { fileURLToPath } from 'node:url';
import { Converter, ReflectionKind } from 'typedoc';
import { publicPackages } from '../release/packages.mjs';

const SOURCE_CONDITION = '@checkpoint-engine/source';
const root = fileURLToPath(new URL('../../', import.meta.url));

/** Import specifiers by the path of their source below `packages`, without its extension. */
const specifiers = new Map(
  publicPackages().flatMap(({ folder, manifest }) =>
    Object.entries(manifest.exports).map(([subpath, conditions]) => [
      `${folder.replace(root, '').replace(/^packages\//, '')}/${conditions[SOURCE_CONDITION].replace(/^\.\//, '')}`
        .replace(/\.ts$/, '')
        .replace(/\/index$/, ''),
      `${manifest.name}${subpath.slice(1)}`,
    ]),
  ),
);

export function load(app) {
  app.converter.on(Converter.EVENT_CREATE_DECLARATION, (_, reflection) => {
    if (!reflection.kindOf(ReflectionKind.Module)) return;
    reflection.name = specifiers.get(reflection.name) ?? reflection.name;
  });
}
