import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from './checkpoints.ts';
import { RUNTIMES } from './runtimes.ts';

const { folder, remove } = await temporaryFolder();
afterAll(remove);
// Deno resolves names by the configuration above the script, which is in another folder here.
const denoConfig = fileURLToPath(new URL('../../../deno.json', import.meta.url));
const loader = new URL('../dist/rank/load-package.js', import.meta.url).href;

/** The error of loading `@checkpoint-engine/absent` through an import of this specifier. */
async function failureOf(
  runtime: readonly [string, ...string[]],
  specifier: string,
): Promise<{ code?: string; message: string; hint?: string }> {
  const script = join(folder, 'load.mjs');
  await writeFile(
    script,
    `import { loadPackage } from ${JSON.stringify(loader)};
     loadPackage('@checkpoint-engine/absent', () => import(${JSON.stringify(specifier)}), 'a test needs it').catch(
       ({ code, message, hint }) => console.log(JSON.stringify({ code, message, hint })));`,
  );
  const [file, ...args] = runtime;
  const config = args.length > 0 ? ['--config', denoConfig] : [];
  const { stdout } = await promisify(execFile)(file, [...args, ...config, script]);
  return JSON.parse(stdout);
}

describe('loadPackage', () => {
  it.each(RUNTIMES)('names the package that is not installed and how to get it, under %s', async (_, runtime) => {
    expect(await failureOf(runtime, '@checkpoint-engine/absent')).toEqual({
      code: 'CE_PACKAGE_NOT_FOUND',
      message: 'The package @checkpoint-engine/absent is not installed, but a test needs it',
      hint: 'Install it next to this command: npm install @checkpoint-engine/absent',
    });
  });

  it.each(RUNTIMES)('does not blame the package for a missing dependency of its own, under %s', async (_, runtime) => {
    const broken = join(folder, 'broken');
    await mkdir(broken, { recursive: true });
    await writeFile(join(broken, 'index.mjs'), "import 'something-else';");
    const { code, message } = await failureOf(runtime, join(broken, 'index.mjs'));
    expect(code).not.toBe('CE_PACKAGE_NOT_FOUND');
    expect(message).toContain('something-else');
  });
});
