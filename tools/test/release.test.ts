// Publishes two releases into a local registry with the scripts for releases. Then installs the packages into empty
// folders on a machine without a compiler, and runs them.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mooncakeForTests } from '../../packages/transport-rdma/test/support/mooncake.ts';
import { DENO, installedPackages, Sandbox, sizeBytesOf } from './installs.ts';
import { type LocalRegistry, missingRegistry, ROOT, startRegistry } from './local-registry.ts';

const missing = missingRegistry();
const mooncake = await mooncakeForTests();
const folder = mkdtempSync(join(tmpdir(), 'ce-release-'));
const repository = join(folder, 'repository');
/** Tarballs of a release. Without this variable, the test creates a release from the present changesets. */
const given = process.env.RELEASE_TARBALLS;
const tarballs = given ?? join(folder, 'tarballs');
/** Each test runs npm about ten times, which takes more than a minute on one busy core. */
const timeout = 300_000;
let registry: LocalRegistry;
let sandbox: Sandbox;

beforeAll(async () => {
  if (missing) return;
  registry = await startRegistry(join(folder, 'registry'));
  mkdirSync(join(folder, 'sandbox'));
  sandbox = new Sandbox(join(folder, 'sandbox'), registry.url);
  copyRepository();
}, timeout);
afterAll(async () => {
  await registry?.close();
  rmSync(folder, { recursive: true, force: true });
  console.log(measured.join('\n'));
});

/** The input of a release: manifests of all workspaces, and the build of packages. */
function copyRepository(): void {
  mkdirSync(repository);
  for (const name of ['package.json', 'LICENSE', '.changeset', 'packages', 'examples']) {
    cpSync(join(ROOT, name), join(repository, name), {
      recursive: true,
      filter: (path) => !/\/(node_modules|build|native|test|\.turbo)$/.test(path),
    });
  }
  const git = (...args: string[]): unknown =>
    execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@example.org', ...args], { cwd: repository });
  git('init', '--quiet', '--initial-branch=main');
  git('add', '--all');
  git('commit', '--quiet', '--message=Initial state');
}

/** Versions, packs and publishes, and returns the versions in the registry. */
function release(): string[] {
  const node = (...args: string[]): string =>
    execFileSync(process.execPath, args, { cwd: repository, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  node(join(ROOT, 'node_modules/@changesets/cli/bin.js'), 'version');
  node(join(ROOT, 'tools/release/pack.mjs'), tarballs, repository);
  return publish();
}

function publish(): string[] {
  const args = [join(ROOT, 'tools/release/publish.mjs'), tarballs, repository, '--silent'];
  return sandbox.run(repository, 'node', args).split('\n').filter(Boolean).sort();
}

const names = (): string[] => readdirSync(join(ROOT, 'packages')).filter((name) => !manifestOf(name).private);
const manifestOf = (name: string): { private?: boolean; version: string } =>
  JSON.parse(readFileSync(join(repository, 'packages', name, 'package.json'), 'utf8'));
const measured: string[] = [];
const measure = (what: string, project: string): void => {
  const { ours, others } = installedPackages(project);
  const megabytes = (sizeBytesOf(join(project, 'node_modules')) / 1e6).toFixed(1);
  measured.push(`${what}: ${ours.length} of ours, ${others.length} others, ${megabytes} MB`);
};

const CORE = ['engines', 'interface', 'meta', 'planner', 'ps', 'store'];
const NATIVE = ['device', 'native-kit'];

describe.skipIf(missing)(`a release${missing ? ` (skipped: ${missing})` : ''}`, { timeout }, () => {
  it('publishes every package to the registry, once', () => {
    const published = given ? publish() : release();
    expect(published).toEqual(names().map((name) => `@checkpoint-engine/${name}@${manifestOf(name).version}`));
    expect(publish()).toEqual([]);
  });

  it('has tarballs that are ready for publishing', () => {
    execFileSync(process.execPath, [join(ROOT, 'tools/release/check-packages.mjs'), tarballs], { stdio: 'inherit' });
  });

  it('plans with only the planner, which has no native code', () => {
    const project = sandbox.install('planner-only', ['planner']);
    expect(installedPackages(project)).toEqual({
      ours: ['interface', 'meta', 'planner'],
      others: ['@msgpack/msgpack'],
    });
    expect(readdirSync(project, { recursive: true, encoding: 'utf8' }).filter((name) => /\.node$/.test(name))).toEqual(
      [],
    );
    const lines = sandbox.runUnderBoth(project, 'examples/01-plan-dry-run/main.mjs');
    expect(lines).toEqual([expect.stringMatching(/no byte moved$/), expect.stringMatching(/no byte moved$/)]);
    measure('planner only', project);
  });

  it('broadcasts without RDMA and NCCL', () => {
    const project = sandbox.install('broadcast-only', ['ps', 'device', 'transport-shm', 'worker']);
    expect(installedPackages(project).ours.sort()).toEqual([...CORE, ...NATIVE, 'transport-shm', 'worker'].sort());
    const lines = sandbox.runUnderBoth(project, 'examples/02-host-broadcast/main.mjs');
    expect(lines).toEqual([expect.stringMatching(/^2 workers hold/), expect.stringMatching(/^2 workers hold/)]);
    measure('broadcast on one host', project);
  });

  it('installs NCCL without Mooncake, and reports what is missing without a GPU', () => {
    const project = sandbox.install('nccl-only', ['ps', 'device', 'transport-nccl']);
    expect(installedPackages(project).ours.sort()).toEqual([...CORE, ...NATIVE, 'transport-nccl'].sort());
    writeFileSync(
      join(project, 'available.mjs'),
      `import { ncclAvailability } from '@checkpoint-engine/transport-nccl';
       const { available, reason } = await ncclAvailability();
       console.log(available || reason.length > 20);`,
    );
    expect(sandbox.run(project, 'node', ['available.mjs']).trim()).toBe('true');
    measure('broadcast over NCCL', project);
  });

  it.skipIf(mooncake.missing)('reads peer to peer without NCCL', () => {
    const project = sandbox.install('p2p-only', ['ps', 'device', 'transport-rdma']);
    expect(installedPackages(project).ours.sort()).toEqual([...CORE, ...NATIVE, 'transport-rdma'].sort());
    const support = 'packages/transport-rdma/test/support';
    cpSync(join(ROOT, support, 'pattern.mjs'), join(project, 'pattern.mjs'));
    const env = { MOONCAKE_PYTHON: mooncake.python };
    const [node, deno] = sandbox.runUnderBoth(project, `${support}/round-trip.mjs`, env);
    expect(node).toMatch(/^[0-9a-f]{64}$/);
    expect(deno).toBe(node);
    measure('P2P over Mooncake', project);
  });

  it('runs the command after npm install --global', () => {
    const project = sandbox.make('global');
    sandbox.run(project, 'npm', ['install', '--global', '--prefix', project, '--silent', '@checkpoint-engine/cli']);
    const command = join(project, 'bin/checkpoint-engine');
    const demo = ['demo', '--device', 'host', '--ranks', '2', '--size', '4MiB', '--json'];
    expect(JSON.parse(sandbox.run(project, command, demo))).toMatchObject({ ok: true, rankCount: 2 });
    expect(installedPackages(join(project, 'lib/node_modules/@checkpoint-engine/cli')).ours.sort()).toEqual(
      [...CORE, ...NATIVE, 'http', 'transport-shm', 'worker'].sort(),
    );
    measure('the command', join(project, 'lib/node_modules/@checkpoint-engine/cli'));
  });

  it('installs and runs the command with Deno alone', () => {
    const project = sandbox.make('deno-project');
    const version = manifestOf('cli').version;
    writeFileSync(
      join(project, 'deno.json'),
      JSON.stringify({
        nodeModulesDir: 'auto',
        minimumDependencyAge: 0, // it was published a moment ago
        imports: { cli: `npm:@checkpoint-engine/cli@${version}` },
      }),
    );
    sandbox.run(project, DENO, ['install', '--quiet']);
    const demo = ['demo', '--device', 'host', '--ranks', '2', '--size', '4MiB', '--json'];
    const run = ['run', '--quiet', '--allow-all', `npm:@checkpoint-engine/cli@${version}`, ...demo];
    expect(JSON.parse(sandbox.run(project, DENO, run))).toMatchObject({ ok: true, rankCount: 2 });
  });

  it('can be imported completely, and has types, under Node.js and Deno', () => {
    const project = sandbox.install('all', names());
    const imports = names().map(
      (name) => `import * as p_${name.replace(/-/g, '_')} from '@checkpoint-engine/${name}';`,
    );
    const exported = names().map((name) => `Object.keys(p_${name.replace(/-/g, '_')}).length`);
    writeFileSync(join(project, 'all.mjs'), `${imports.join('\n')}\nconsole.log([${exported}].every(Boolean));`);
    writeFileSync(
      join(project, 'types.ts'),
      `import { type ErrorCode, CheckpointEngineError } from '@checkpoint-engine/interface';
       import { ParameterServer, type UpdateOptions } from '@checkpoint-engine/ps';
       export const code: ErrorCode = new CheckpointEngineError('CE_CLOSED', 'a', 'b').code;
       export const timeout = (options: UpdateOptions): number | undefined => options.timeoutMs;
       // @ts-expect-error: it takes options
       export const server = (): Promise<ParameterServer> => ParameterServer.create();`,
    );
    expect(sandbox.run(project, 'node', ['all.mjs']).trim()).toBe('true');
    const deno = ['--quiet', '--node-modules-dir=manual'];
    expect(sandbox.run(project, DENO, ['run', '--allow-all', ...deno, 'all.mjs']).trim()).toBe('true');
    sandbox.run(project, DENO, ['check', ...deno, 'types.ts']);
    measure('everything', project);
  });

  it('builds one executable of the command, which needs neither Node.js nor Deno', ({ skip }) => {
    const project = sandbox.make('executable');
    const output = join(project, 'checkpoint-engine');
    const env = { ...sandbox.registryEnv, RELEASE_TARBALLS: tarballs };
    const compiled = spawnSync(join(ROOT, 'tools/release/compile.sh'), [output], { env, encoding: 'utf8' });
    const isWithoutBase = compiled.stderr.includes('Setting up base binary');
    const noBase = isWithoutBase && process.env.REQUIRE_DENORT !== '1';
    if (noBase) console.warn('skipped: an executable of Deno: its base (denort) cannot be downloaded');
    skip(noBase);
    expect(compiled).toMatchObject({ status: 0 });
    const demo = ['demo', '--device', 'host', '--ranks', '2', '--size', '4MiB', '--json'];
    expect(JSON.parse(sandbox.run(project, output, demo, { PATH: '' }))).toMatchObject({ ok: true, rankCount: 2 });
  });

  if (given)
    console.warn('skipped: the release of one package: RELEASE_TARBALLS names the tarballs of another release');
  it.skipIf(given)('of one package publishes this package and its dependents, and nothing else', () => {
    const before = Object.fromEntries(names().map((name) => [name, manifestOf(name).version]));
    writeFileSync(
      join(repository, '.changeset/plans.md'),
      `---\n'@checkpoint-engine/planner': minor\n---\n\nAdd nothing: this is a test of releases.\n`,
    );
    expect(release().map((entry) => entry.replace(/^@checkpoint-engine\/(.*)@.*$/, '$1'))).toEqual([
      'cli',
      'planner',
      'ps',
      'report',
      'simulate',
    ]);
    for (const name of names()) {
      const isNew = ['cli', 'planner', 'ps', 'report', 'simulate'].includes(name);
      expect(manifestOf(name).version === before[name], name).toBe(!isNew);
    }
    const project = sandbox.install('second', ['ps', 'device', 'transport-shm', 'worker']);
    const { dependencies } = JSON.parse(sandbox.run(project, 'npm', ['ls', '--all', '--json']));
    const planner = dependencies['@checkpoint-engine/ps'].dependencies['@checkpoint-engine/planner'].version;
    expect(planner).toBe(manifestOf('planner').version);
    expect(sandbox.runUnderBoth(project, 'examples/02-host-broadcast/main.mjs')[0]).toMatch(/^2 workers hold/);
  });
});
