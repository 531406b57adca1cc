import { execFileSync } from 'node:child_process';
import { cpSync, lstatSync, mkdirSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import process from 'node:process';
import { ROOT } from './local-registry.ts';

export const DENO: string = createRequire(import.meta.url).resolve('@deno/linux-x64-glibc/deno');

/** Runs programs in a separate folder, with Node.js, npm and a shell, but without a compiler or make. */
export class Sandbox {
  readonly folder: string;
  readonly #env: Record<string, string>;

  constructor(folder: string, registryUrl: string) {
    this.folder = folder;
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    symlinkSync(process.execPath, join(bin, 'node'));
    symlinkSync(realpathSync(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim()), join(bin, 'npm'));
    symlinkSync('/bin/sh', join(bin, 'sh'));
    const { host } = new URL(registryUrl);
    // npm requires a token for publishing; the registry accepts any.
    writeFileSync(join(folder, '.npmrc'), `registry=${registryUrl}\n//${host}/:_authToken=nobody\n`);
    this.#env = {
      PATH: bin,
      HOME: folder,
      TMPDIR: process.env.TMPDIR ?? '/tmp',
      DENO_DIR: join(folder, 'deno'),
      npm_config_userconfig: join(folder, '.npmrc'),
      npm_config_cache: join(folder, 'npm-cache'),
      npm_config_update_notifier: 'false',
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      NPM_CONFIG_REGISTRY: registryUrl,
    };
  }

  /** Creates a new folder in the sandbox. */
  make(name: string): string {
    const folder = join(this.folder, name);
    mkdirSync(folder);
    return folder;
  }

  /** The environment that makes npm and Deno use the registry, for programs that run outside of the sandbox. */
  get registryEnv(): Record<string, string> {
    const { PATH: _path, ...rest } = this.#env;
    return { ...rest, PATH: process.env.PATH ?? '' };
  }

  /** Runs a program, which must succeed, and returns its standard output. */
  run(cwd: string, file: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): string {
    return execFileSync(file, args, { cwd, env: { ...this.#env, ...env }, encoding: 'utf8', timeout: 120_000 });
  }

  /** Creates a project and installs these packages of ours with npm, without running install scripts. */
  install(name: string, packages: readonly string[]): string {
    const project = this.make(name);
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }));
    const wanted = packages.map((wantedName) => `@checkpoint-engine/${wantedName}`);
    this.run(project, 'npm', ['install', '--ignore-scripts', '--silent', ...wanted]);
    return project;
  }

  /** Copies a script into a project and runs it under Node.js and Deno. Returns the last line of each output. */
  runUnderBoth(project: string, script: string, env: Readonly<Record<string, string>> = {}): string[] {
    const name = basename(script);
    cpSync(join(ROOT, script), join(project, name));
    const deno = ['run', '--quiet', '--allow-all', '--node-modules-dir=manual', name];
    return [this.run(project, 'node', [name], env), this.run(project, DENO, deno, env)].map(
      (output) => output.trimEnd().split('\n').at(-1)!,
    );
  }
}

/** Names of the installed packages, ours without the scope. */
export function installedPackages(project: string): { ours: string[]; others: string[] } {
  const modules = join(project, 'node_modules');
  const names = readdirSync(modules).flatMap((name) =>
    name.startsWith('@') ? readdirSync(join(modules, name)).map((inner) => `${name}/${inner}`) : [name],
  );
  const scope = '@checkpoint-engine/';
  return {
    ours: names.filter((name) => name.startsWith(scope)).map((name) => name.slice(scope.length)),
    others: names.filter((name) => !name.startsWith(scope) && !name.startsWith('.')),
  };
}

/** Total size of all files below a folder. */
export function sizeBytesOf(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => lstatSync(join(folder, name)))
    .reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0);
}
