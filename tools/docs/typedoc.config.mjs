// The API reference of all exports of the packages: `npm run docs` writes it to docs/api. With `--emit none`, TypeDoc only
// checks that every export has a comment, and that no comment refers to a missing symbol.
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { publicPackages } from '../release/packages.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const SOURCE_CONDITION = '@checkpoint-engine/source';

const packages = publicPackages();
const entryPoints = packages.flatMap(({ folder, manifest }) =>
  Object.values(manifest.exports).map((conditions) => relative(here, `${folder}/${conditions[SOURCE_CONDITION]}`)),
);

/** @type {Partial<import('typedoc').TypeDocOptions>} */
export default {
  name: 'checkpoint-engine',
  entryPoints,
  tsconfig: 'tsconfig.json',
  out: '../../docs/api',
  plugin: [`${here}name-modules.mjs`],
  readme: '../../README.md',
  projectDocuments: ['../../docs/*.md', '../../ARCHITECTURE.md', '../../SECURITY.md'],
  navigationLinks: { Guides: 'documents/README.html', npm: 'https://www.npmjs.com/org/checkpoint-engine' },
  highlightLanguages: ['typescript', 'javascript', 'json', 'sh', 'bash', 'yaml', 'python', 'http', 'ini', 'console'],
  excludePrivate: true,
  excludeInternal: true,
  blockTags: [
    '@param',
    '@typeParam',
    '@returns',
    '@throws',
    '@example',
    '@remarks',
    '@see',
    '@default',
    '@deprecated',
    '@source',
  ],
  requiredToBeDocumented: [
    'Enum',
    'Variable',
    'Function',
    'Class',
    'Interface',
    'TypeAlias',
    'Method',
    'Accessor',
    'Constructor',
  ],
  packagesRequiringDocumentation: packages.map(({ manifest }) => manifest.name),
  validation: {
    notExported: false,
    invalidPath: false,
    invalidLink: true,
    notDocumented: true,
    unusedMergeModuleWith: true,
  },
  treatWarningsAsErrors: true,
  treatValidationWarningsAsErrors: true,
};
