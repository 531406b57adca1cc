import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

export const ROOT: string = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const VERDACCIO = join(ROOT, 'tools/registry/node_modules/verdaccio/bin/verdaccio');

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** A registry on loopback that has only the published packages. */
export interface LocalRegistry {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Installs the registry once from `tools/registry`, which has a separate lock file because it is larger than all other
 * tools together, and only these tests need it. Returns the reason if this is not possible; `REQUIRE_REGISTRY=1` makes
 * that an error.
 */
export function missingRegistry(): string | undefined {
  if (existsSync(VERDACCIO)) return undefined;
  try {
    const args = ['ci', '--prefix', join(ROOT, 'tools/registry'), '--ignore-scripts', '--no-audit', '--no-fund'];
    execFileSync('npm', args, { cwd: join(ROOT, 'tools/registry'), timeout: 120_000, stdio: 'pipe' });
    return undefined;
  } catch (error) {
    if (process.env.REQUIRE_REGISTRY === '1') throw error;
    const reason = `verdaccio cannot be installed: ${(error as Error).message.split('\n')[0]}`;
    console.warn(`Tests with a registry are skipped: ${reason}`);
    return reason;
  }
}

/** Starts a registry that keeps everything in `folder` and already has the dependencies of the public packages. */
export async function startRegistry(folder: string): Promise<LocalRegistry> {
  const storage = join(folder, 'storage');
  // The stored packages contain the port, and storing takes some seconds, in which no other test gets the port.
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as { port: number };
  const url = `http://127.0.0.1:${port}/`;
  mkdirSync(storage, { recursive: true });
  for (const source of thirdParty()) store(storage, source, url);
  const config = {
    storage,
    auth: { htpasswd: { file: join(folder, 'htpasswd') } },
    packages: { '**': { access: '$all', publish: '$all' } },
    log: { type: 'file', path: join(folder, 'log'), format: 'json', level: 'warn' },
    web: { enable: false },
    max_body_size: '100mb',
  };
  writeFileSync(join(folder, 'config.yaml'), JSON.stringify(config)); // JSON is YAML
  holder.close();
  await once(holder, 'close');
  const child = spawn(
    process.execPath,
    [VERDACCIO, '--config', join(folder, 'config.yaml'), '--listen', `127.0.0.1:${port}`],
    { stdio: 'ignore' },
  );
  const exited = once(child, 'exit');
  const close = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  while (!(await answers(url))) {
    if (child.exitCode !== null) throw new Error(`The registry ended with ${child.exitCode}: see ${folder}/log`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { url, close };
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}-/ping`)).ok;
  } catch {
    return false;
  }
}

const manifestOf = (folder: string): Manifest => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));

/** The folders of all direct and indirect dependencies of the public packages. */
function thirdParty(): Set<string> {
  const found = new Set<string>();
  const visit = (folder: string): void => {
    const { dependencies, optionalDependencies } = manifestOf(folder);
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const source = installed(name, folder);
      if (found.has(source)) continue;
      if (!name.startsWith('@checkpoint-engine/')) found.add(source);
      visit(source);
    }
  };
  for (const name of readdirSync(join(ROOT, 'packages'))) visit(join(ROOT, 'packages', name));
  return found;
}

function installed(name: string, from: string): string {
  const folder = join(from, 'node_modules', name);
  if (existsSync(folder)) return realpathSync(folder);
  if (from === '/') throw new Error(`${name} is not installed: run npm ci`);
  return installed(name, dirname(from));
}

/** Copies an installed package into the registry's storage, as if it had been published. */
function store(storage: string, source: string, url: string): void {
  const manifest = manifestOf(source);
  const { name, version } = manifest;
  const folder = join(storage, name);
  const file = `${name.split('/').at(-1)}-${version}.tgz`;
  mkdirSync(folder, { recursive: true });
  const tarball = execFileSync(
    'sh',
    ['-c', 'tar -C "$0" --exclude=./node_modules --transform "s,^\\.,package," -cf - . | gzip -1', source],
    { maxBuffer: 2 ** 28 },
  );
  writeFileSync(join(folder, file), tarball);
  const shasum = createHash('sha1').update(tarball).digest('hex');
  const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
  const path = join(folder, 'package.json');
  const before = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : { versions: {}, _attachments: {} };
  const dist = { shasum, integrity, tarball: `${url}${name}/-/${file}` };
  const document = {
    name,
    versions: { ...before.versions, [version]: { ...manifest, dist } },
    'dist-tags': { latest: version },
    time: {},
    _distfiles: {},
    _uplinks: {},
    _rev: '1-0',
    _attachments: { ...before._attachments, [file]: { shasum, version } },
  };
  writeFileSync(path, JSON.stringify(document));
}
