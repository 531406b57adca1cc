// The chart, its rendered manifests, and the scripts of the same folder.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, describe, expect, it } from 'vitest';
import { ROOT } from './local-registry.ts';
import { python, reasonToSkip } from './python.ts';

const DEPLOY = join(ROOT, 'deploy');
const CHART = join(DEPLOY, 'helm', 'checkpoint-engine');
const helm = process.env.HELM ?? 'helm';
const hasHelm = spawnSync(helm, ['version'], { stdio: 'ignore' }).status === 0;
if (!hasHelm) console.warn('skipped: rendering the chart: helm is not installed (HELM is its path)');
const noValidator = reasonToSkip('kubernetes_validate');

const folder = mkdtempSync(join(tmpdir(), 'ce-deploy-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function rendered(...settings: string[]): { readonly output: string; readonly error: string } {
  const args = ['template', 't', CHART, '--kube-version', '1.31.0', ...settings.flatMap((one) => ['--set', one])];
  const { stdout, stderr } = spawnSync(helm, args, { encoding: 'utf8' });
  return { output: stdout, error: stderr };
}

describe.skipIf(!hasHelm)('the chart', () => {
  it('renders the committed manifests', () => {
    execFileSync(join(DEPLOY, 'kubernetes', 'render.sh'), [folder], { env: { ...process.env, HELM: helm } });
    for (const name of ['one-pod.yaml', 'two-pods.yaml']) {
      expect(readFileSync(join(DEPLOY, 'kubernetes', name), 'utf8'), name).toBe(
        readFileSync(join(folder, name), 'utf8'),
      );
    }
  });

  it('refuses settings that cannot work', () => {
    expect(rendered('engine.model=/m', 'replicas=2').error).toContain('token.existingSecret');
    expect(rendered('engine.model=/m', 'serviceMonitor.enabled=true').error).toContain('token.existingSecret');
    expect(rendered().error).toContain('/engine/model');
    expect(rendered('engine.model=/m', 'engine.kind=other').error).toContain('/engine/kind');
  });

  it('listens beyond loopback only with a token', () => {
    expect(rendered('engine.model=/m').output).toContain('--listen=127.0.0.1:19730');
    expect(rendered('engine.model=/m').output).not.toContain('kind: Secret');
    const open = rendered('engine.model=/m', 'token.value=secret').output;
    expect(open).toContain('--listen=0.0.0.0:19730');
    expect(open).toContain('--allow-path=/checkpoints');
    expect(open).toContain('kind: Secret');
  });
});

describe.skipIf(noValidator)('the manifests', () => {
  it.each(readdirSync(join(DEPLOY, 'kubernetes')).filter((name) => name.endsWith('.yaml')))(
    'of %s are valid for the oldest supported and for a current Kubernetes',
    (name) => {
      const file = join(DEPLOY, 'kubernetes', name);
      for (const version of ['1.28', '1.37']) {
        const args = ['-m', 'kubernetes_validate', '--strict', '--quiet', '--kubernetes-version', version, file];
        const { status, stdout, stderr } = spawnSync(python, args, { encoding: 'utf8' });
        expect(status, stdout + stderr).toBe(0);
      }
    },
  );
});

describe('the container image', () => {
  it('has every package that its packages need', () => {
    const list = (...names: string[]): string[] =>
      execFileSync(process.execPath, [join(DEPLOY, 'container', 'list-packages.mjs'), ...names], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      })
        .trim()
        .split('\n');
    for (const names of [['cli'], ['cli', 'report', 'transport-nccl', 'transport-rdma']]) {
      const packages = list(...names);
      expect(packages).toEqual(expect.arrayContaining(names));
      for (const name of packages) {
        const { dependencies = {} } = JSON.parse(
          readFileSync(join(ROOT, 'packages', name, 'package.json'), 'utf8'),
        ) as { dependencies?: Record<string, string> };
        const own = Object.keys(dependencies).filter((dependency) => dependency.startsWith('@checkpoint-engine/'));
        for (const dependency of own) expect(packages).toContain(dependency.replace('@checkpoint-engine/', ''));
      }
    }
    expect(() => list('nothing')).toThrow();
  });
});

describe('scripts', () => {
  it.each([
    'container/build.sh',
    'container/demo.sh',
    'container/debian-base.sh',
    'kubernetes/render.sh',
    'slurm/serve.sbatch',
    'slurm/update.sbatch',
  ])('%s is valid shell', (name) => {
    execFileSync('bash', ['-n', join(DEPLOY, name)]);
  });

  it('the health check fails if nothing answers, and passes on a host that serves no API', () => {
    const health = join(DEPLOY, 'container', 'health.mjs');
    const run = (env: Record<string, string>) =>
      spawnSync(process.execPath, [health, 'readyz'], { env: { ...process.env, ...env }, encoding: 'utf8' });
    const failed = run({ CHECKPOINT_ENGINE_HEALTH: join(folder, 'no-socket') });
    expect(failed.status).toBe(1);
    expect(failed.stderr).toContain('readyz of');
    expect(run({ CHECKPOINT_ENGINE_HEALTH: join(folder, 'no-socket'), NODE_RANK: '1' }).status).toBe(0);
  });
});
