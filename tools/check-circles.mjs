// Fails if source files import each other in a circle, type-only imports included, or if the folders of a package
// do. Also covers the modules and the subpackages of the Python package.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** Packages whose folders still import each other in a circle. */
const FOLDER_CIRCLES_ALLOWED = new Set(['bench', 'transport-compliance']);

/** Static imports, re-exports and `import('...')` of relative paths, including those over several lines. */
const RELATIVE_IMPORTS = /^(?:import|export)\s(?:[^;'"]*?\sfrom\s)?'(\.[^']*)'|\bimport\('(\.[^']*)'\)/gm;

const filesBelow = (folder, pattern = /\.(ts|mts|js|mjs)$/) =>
  readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesBelow(path, pattern) : pattern.test(name) ? [path] : [];
  });

/**
 * The circles of a graph: each is a set of nodes that all reach each other (Tarjan's strongly connected components of
 * more than one node).
 *
 * @param {ReadonlyMap<string, ReadonlySet<string>>} graph
 */
function circlesOf(graph) {
  const indexOf = new Map();
  const lowOf = new Map();
  const stack = [];
  const onStack = new Set();
  const circles = [];
  const visit = (node) => {
    indexOf.set(node, indexOf.size);
    lowOf.set(node, indexOf.get(node));
    stack.push(node);
    onStack.add(node);
    for (const next of graph.get(node) ?? []) {
      if (!indexOf.has(next)) visit(next);
      if (onStack.has(next)) lowOf.set(node, Math.min(lowOf.get(node), lowOf.get(next)));
    }
    if (lowOf.get(node) !== indexOf.get(node)) return;
    const circle = stack.splice(stack.lastIndexOf(node));
    for (const member of circle) onStack.delete(member);
    if (circle.length > 1 || graph.get(node)?.has(node)) circles.push(circle.sort());
  };
  for (const node of graph.keys()) if (!indexOf.has(node)) visit(node);
  return circles;
}

/** The imports between files below `source` by relative paths. */
function importsOf(source) {
  return new Map(
    filesBelow(source).map((file) => {
      const specifiers = [...readFileSync(file, 'utf8').matchAll(RELATIVE_IMPORTS)].map(([, a, b]) => a ?? b);
      return [file, new Set(specifiers.map((specifier) => join(dirname(file), specifier)))];
    }),
  );
}

/**
 * The imports between modules of the Python package, including imports for types and inside functions. A name that an
 * import takes from a subpackage is a module of it, or is defined in its `__init__.py`.
 */
function pythonImportsOf(source) {
  const statement = /^\s*from checkpoint_engine_worker(?:\.([\w.]+))? import (?:\(([^)]*)\)|(.*))$/gm;
  const moduleOf = (parts) =>
    [`${join(source, ...parts)}.py`, join(source, ...parts, '__init__.py')].find((file) => existsSync(file));
  const targetsOf = ([, path, lines, line]) => {
    const from = path?.split('.') ?? [];
    const names = (lines ?? line).replaceAll(/#.*/g, '').match(/\w+(?: as \w+)?/g) ?? [];
    return names.map((name) => moduleOf([...from, name.split(' ')[0]]) ?? moduleOf(from));
  };
  return new Map(
    filesBelow(source, /\.py$/).map((file) => {
      const targets = [...readFileSync(file, 'utf8').matchAll(statement)].flatMap(targetsOf);
      return [file, new Set(targets.filter((target) => target !== undefined))];
    }),
  );
}

/** The first folder below `source` that a file is in; files directly in `source` are nodes of their own. */
const roomOf = (source, file) => relative(source, file).split('/')[0];

/** The imports between the folders of one package. Omits test files, which may import everything. */
function roomsOf(source, imports) {
  const rooms = new Map();
  for (const [file, targets] of imports) {
    if (file.endsWith('.test.ts')) continue;
    const room = roomOf(source, file);
    const seen = rooms.get(room) ?? new Set();
    for (const target of targets) if (roomOf(source, target) !== room) seen.add(roomOf(source, target));
    rooms.set(room, seen);
  }
  return rooms;
}

const problems = [];
for (const parent of ['packages', 'apps'])
  for (const name of readdirSync(parent)) {
    const source = join(parent, name, 'src');
    if (!existsSync(source)) continue;
    const imports = importsOf(source);
    for (const circle of circlesOf(imports)) problems.push(`These files import each other: ${circle.join(', ')}`);
    if (FOLDER_CIRCLES_ALLOWED.has(name)) continue;
    for (const circle of circlesOf(roomsOf(source, imports)))
      problems.push(`These folders of ${source} import each other: ${circle.join(', ')}`);
  }
const worker = 'python/worker/src/checkpoint_engine_worker';
const pythonImports = pythonImportsOf(worker);
for (const circle of circlesOf(pythonImports)) problems.push(`These modules import each other: ${circle.join(', ')}`);
for (const circle of circlesOf(roomsOf(worker, pythonImports)))
  problems.push(`These subpackages of ${worker} import each other: ${circle.join(', ')}`);
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
