// Fails if a package imports another against the direction of the architecture, by a path that is not in its exports,
// or without listing it in its package.json.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** For each package, our packages that its sources may import. */
const ALLOWED = {
  interface: [],
  meta: ['interface'],
  'model-tensors': ['meta'],
  planner: ['interface', 'meta'],
  'native-kit': ['interface'],
  device: ['interface', 'native-kit'],
  'transport-shm': ['interface', 'device'],
  'transport-nccl': ['interface', 'native-kit', 'device'],
  'transport-rdma': ['interface', 'native-kit', 'device'],
  'transport-compliance': ['interface'],
  engines: ['interface'],
  store: ['interface'],
  ps: ['interface', 'engines', 'meta', 'planner', 'store'],
  http: ['interface', 'meta', 'ps'],
  report: ['planner'],
  simulate: ['interface', 'meta', 'model-tensors', 'planner'],
  worker: ['interface', 'device'],
};
/** Programs that compose packages, which may import all of them. */
const ROOTS = new Set(['cli', 'bench']);

/**
 * Static imports and re-exports, including those over several lines, and dynamic imports of a literal. Relative imports
 * are omitted.
 */
const IMPORTS = /^(?:import|export)\s(?:[^;'"]*?\sfrom\s)?'([^'.][^']*)'|\bimport\('([^'.][^']*)'\)/gm;

const files = (folder) =>
  readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? files(path) : /\.(ts|mts|js|mjs)$/.test(name) ? [path] : [];
  });

const problems = [];
for (const folder of [...readdirSync('packages').map((name) => join('packages', name)), 'apps/bench']) {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const name = manifest.name.split('/')[1];
  const declared = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies };
  for (const file of files(join(folder, 'src'))) {
    const isTest = /\.test\.ts$/.test(file);
    for (const [, fromStatic, fromDynamic] of readFileSync(file, 'utf8').matchAll(IMPORTS)) {
      const specifier = fromStatic ?? fromDynamic;
      const ours = /^@checkpoint-engine\/([^/]+)(\/.*)?$/.exec(specifier);
      if (ours) {
        const [, target] = ours;
        if (!ROOTS.has(name) && !isTest && !ALLOWED[name]?.includes(target))
          problems.push(`${file}: ${name} must not import ${target}`);
        if (
          target !== name &&
          !declared[`@checkpoint-engine/${target}`] &&
          !manifest.devDependencies?.[`@checkpoint-engine/${target}`]
        )
          problems.push(`${file}: @checkpoint-engine/${target} is not in ${folder}/package.json`);
      } else if (!specifier.startsWith('node:') && !isTest) {
        const packageName = specifier
          .split('/')
          .slice(0, specifier.startsWith('@') ? 2 : 1)
          .join('/');
        if (!declared[packageName])
          problems.push(`${file}: ${packageName} is not a dependency in ${folder}/package.json`);
      }
    }
  }
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
