// The version of an instance whose ranks run on two hosts. There are two processes of serve, one of them with the name
// and the identity of another host, and an engine with a device on each host.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import { type CopyingWorker, copyingWorker, serveWorker } from '@checkpoint-engine/worker';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { smallCheckpoint, temporaryFolder, tensorDigests } from './checkpoints.ts';
import { rankProcesses } from './processes.ts';
import { type RunningCli, startCli } from './run-cli.ts';
import { startServer, type TestServer } from './serve-process.ts';

const { folder, remove } = await temporaryFolder();
const [one, two] = await Promise.all(['one', 'two'].map((seed) => smallCheckpoint(join(folder, seed), seed, 2 ** 20)));
const cleanup: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});
afterAll(remove);

/** Runs a command with the host name and the device identity of another host. Needs root. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const OTHER_ID = 'abcdef01-0000-4000-8000-000000000000';
const idFile = join(folder, 'boot-id');
writeFileSync(idFile, `${OTHER_ID}\n`);
const script = `hostname other-host && mount --bind ${idFile} ${BOOT_ID} && exec "$@"`;
const onOtherHost = ['unshare', '--mount', '--uts', 'sh', '-c', script, 'sh', execPath];
const probe = spawnSync(onOtherHost[0]!, [...onOtherHost.slice(1), '-e', ''], { encoding: 'utf8' });
const noNamespaces = probe.status === 0 ? undefined : `namespaces need root: ${probe.stderr ?? probe.error}`;
if (noNamespaces) console.warn(`Versions over hosts are not tested: ${noNamespaces}`);

const env = { CHECKPOINT_ENGINE_TOKEN: 'a-long-secret' };
const bearer = { authorization: 'Bearer a-long-secret' };
let sockets = 0;
const socketPath = (): string => join(folder, `${sockets++}.sock`);

/** The same device with the identity that it has on the other host. */
function elsewhere(device: HostDevice): HostDevice {
  const uuid = `HOST-${OTHER_ID.slice(0, 8)}-0`;
  return new Proxy(device, {
    get: (_, key) => {
      const value: unknown = key === 'uuid' ? uuid : Reflect.get(device, key, device);
      return typeof value === 'function' ? value.bind(device) : value;
    },
  });
}

interface Engine {
  readonly path: string;
  readonly workers: readonly CopyingWorker[];
  /** Called when a worker has taken a bucket of an update. */
  onBucket: (worker: CopyingWorker) => void;
}

/** An engine whose devices are on the first host, on the other one, or on both. */
async function engine(hosts: readonly ('first' | 'other')[]): Promise<Engine> {
  const path = socketPath();
  const own = await Promise.all(hosts.map(() => createHostDevice({ index: 0, threads: 2 })));
  const devices = hosts.map((host, at) => (host === 'other' ? elsewhere(own[at]!) : own[at]!));
  const workers = own.map((device) => copyingWorker({ device }));
  const made: Engine = { path, workers, onBucket: () => {} };
  const server = await serveWorker({
    devices,
    listen: { path },
    onUpdate: async (update, device) => {
      const worker = workers[devices.findIndex(({ uuid }) => uuid === device.uuid)]!;
      await update.forEachBucket(async (tensors) => {
        await worker.copyBucket(tensors);
        made.onBucket(worker);
      });
      await update.finished();
    },
  });
  cleanup.push(async () => {
    await server.close();
    for (const worker of workers) await worker.close();
    for (const device of own) await device.close();
  });
  return made;
}

interface Hosts {
  readonly server: TestServer;
  readonly other: RunningCli;
  call(method: string, path: string, body?: object): ReturnType<TestServer['call']>;
}

/** One rank on each of two hosts. */
async function serveOnHosts(engines: readonly Engine[], parallelSize: number): Promise<Hosts> {
  const port = await freePort();
  const hosts = ['--nnodes', '2', '--master-addr', '127.0.0.1', '--master-port', `${port}`];
  const other = startCli(['serve', '--device', 'host', ...hosts, '--node-rank', '1'], { env, runtime: onOtherHost });
  cleanup.push(async () => {
    other.child.kill('SIGKILL');
    await other.result;
  });
  const paths = engines.flatMap(({ path }) => ['--engine-uds', path]);
  const flags = ['--engine', 'worker', '--inference-parallel-size', `${parallelSize}`, ...paths];
  const server = await startServer(['--uds', socketPath(), ...hosts, '--allow-path', folder, ...flags], { env });
  cleanup.push(async () => {
    server.running.child.kill('SIGKILL');
    await server.running.result;
  });
  return { server, other, call: (method, path, body) => server.call(method, path, body, bearer) };
}

async function register({ call }: Hosts, name: string, files: string, body: object = {}): Promise<void> {
  expect((await call('POST', `/v1/checkpoints/${name}/files`, { files: [files], ...body })).status).toBe(200);
  expect((await call('POST', `/v1/checkpoints/${name}/gather-metas`)).status).toBe(200);
}

const update = ({ call }: Hosts, name: string, body: object = {}) =>
  call('POST', `/v1/checkpoints/${name}/update`, body);

interface Shown {
  /** The versions of the instances in the server's answer. */
  readonly instances: readonly string[];
  /** The versions that the workers report. */
  readonly workers: readonly string[];
  /** The versions in the metrics. */
  readonly metrics: readonly string[];
  /** The versions in the last update. */
  readonly engines: readonly string[];
}

async function shown({ call }: Hosts): Promise<Shown> {
  type Listed = { instances: { endpoint: string; weight_version: string }[] };
  const listed = (await call('GET', '/v1/instances')).json<Listed>();
  const metrics = (await call('GET', '/metrics')).text
    .split('\n')
    .filter((line) => /^checkpoint_engine_instance_weights\{/.test(line))
    .map((line) => /weight_version="([^"]*)"\} ([01])$/.exec(line)!.slice(1, 3).join(' '));
  const [last] = (await call('GET', '/v1/updates')).json<{ updates: { engines: { weight_version: string }[] }[] }>()
    .updates;
  const asked = (await call('GET', '/v1/instances?ask=true')).json<Listed>();
  const versions = ({ instances }: Listed): string[] => instances.map((instance) => instance.weight_version);
  return {
    instances: versions(listed),
    workers: versions(asked),
    metrics,
    engines: last?.engines.map((each) => each.weight_version) ?? [],
  };
}

const showing = (version: string, count: number): Shown => {
  const all = Array<string>(count).fill(version);
  const metrics = all.map((each) => `${each} ${version === 'unknown' ? 0 : 1}`);
  return { instances: all, workers: all, metrics, engines: all };
};

describe.skipIf(noNamespaces)('instances of two hosts', () => {
  it.each([
    ['one instance that spans both', [['first', 'other']], 2],
    ['an instance of each host', [['first'], ['other']], 1],
  ] as const)('have a version when the ranks of both hosts have confirmed it: %s', async (_, devices, parallelSize) => {
    const engines = await Promise.all(devices.map((hosts) => engine(hosts)));
    const workers = engines.flatMap((each) => each.workers);
    const hosts = await serveOnHosts(engines, parallelSize);
    await register(hosts, 'a', one!, { weight_version: 'v1' });
    await register(hosts, 'b', two!, { stream: true });
    expect(await update(hosts, 'a')).toMatchObject({ status: 200 });
    expect(await shown(hosts)).toEqual(showing('v1', engines.length));

    // The rank of the other host dies when every worker has taken bytes, so that all hold unknown weights.
    const { pid } = hosts.other.child;
    let victim = 0;
    const begun = new Set<CopyingWorker>();
    const onBucket = (worker: CopyingWorker): void => {
      begun.add(worker);
      if (begun.size < workers.length || victim > 0) return;
      victim = rankProcesses(pid!).get(1)!;
      process.kill(victim, 'SIGKILL');
    };
    for (const each of engines) each.onBucket = onBucket;
    const failed = await update(hosts, 'b', { weight_version: 'v2' });
    expect(failed.json()).toMatchObject({ code: expect.stringMatching(/^CE_(RANK|PEER|WORKER)_LOST$/) });
    expect(victim).toBeGreaterThan(0);
    expect(await shown(hosts)).toEqual(showing('unknown', engines.length));

    // The bytes stream from the files of both hosts, and have the same version as elsewhere.
    expect(await update(hosts, 'b')).toMatchObject({ status: 200 });
    const { instances } = await shown(hosts);
    expect(instances[0]).toMatch(/^digest:[0-9a-f]{32}$/);
    expect(await shown(hosts)).toEqual(showing(instances[0]!, engines.length));
    for (const worker of workers) expect(new Map(await worker.digests())).toEqual(await tensorDigests(two!));
  });
});
