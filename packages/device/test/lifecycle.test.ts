import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { packageFolder, quietEnd, Script } from './support.ts';

const deno = fileURLToPath(new URL('../../../node_modules/@deno/linux-x64-glibc/deno', import.meta.url));
const runtimes: [string, string[]][] = [['node', [process.execPath, '--input-type=module', '--expose-gc', '-e']]];
// Under a preloaded sanitizer, only programs that were built for it run.
const noDeno = existsSync(deno) ? process.env.LD_PRELOAD && 'LD_PRELOAD is set' : 'npm did not install Deno';
if (noDeno) console.warn(`skipped: lifecycles under Deno: ${noDeno}`);
else runtimes.push(['deno', [deno, 'eval', '--v8-flags=--expose-gc']]);

const prelude = `
  import process from 'node:process';
  import { readFileSync } from 'node:fs';
  import { createHostDevice, detachView, sweepShared } from '@checkpoint-engine/device';
  const range = (memory, offsetBytes = 0, sizeBytes = memory.sizeBytes) => ({ memory, offsetBytes, sizeBytes });
  const residentMiB = () => Number(/RssShmem:\\s+(\\d+)|$/.exec(readFileSync('/proc/self/status', 'utf8'))[1] ?? 0) / 1024
    + Number(/RssAnon:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
  const settle = async (until) => {
    for (let i = 0; i < 1_000 && !until(); i++) { globalThis.gc(); await new Promise((done) => setTimeout(done, 20)); }
  };
  const mib = 1 << 20;
`;
const copiesInFlight = `
  const device = await createHostDevice();
  const [from, to] = [await device.allocateHost(256 * mib), await device.allocateShared(256 * mib)];
  const stream = device.createStream('copy');
  const copies = Array.from({ length: 8 }, () => stream.copy([{ from: range(from), to: range(to) }]));
`;
const segmentsOf = (pid: number | undefined): string[] =>
  readdirSync('/dev/shm').filter((name) => name.includes(`-${pid}-`));

describe.each(runtimes)('%s', (name, command) => {
  const run = async (code: string): Promise<object> => {
    const script = new Script(prelude + code, command);
    const end = await script.end();
    expect(segmentsOf(script.child.pid)).toEqual([]);
    return end;
  };

  it('supports the whole sequence: share, view, write, copy, read, close', async () => {
    const end = await run(`
      const device = await createHostDevice();
      const [shared, pool] = [await device.allocateShared(mib), await device.allocateHost(mib)];
      const opened = await device.openShared(shared.handle, mib);
      await pool.write(10, Uint8Array.of(1, 2, 3));
      await device.createStream('copy').copy([{ from: range(pool), to: range(shared) }]);
      const [view, other] = [opened.view(10, 3), opened.view(10, 3)];
      console.log([...view].join());
      detachView(other);
      console.log(view.length, other.length);
      await pool.read([{ path: 'package.json', fileOffsetBytes: 0, offsetBytes: 0, sizeBytes: 1 }]);
      console.log(new TextDecoder().decode(pool.view(0, 1)));
      await pool.read([{ path: 'nothing', fileOffsetBytes: 0, offsetBytes: 0, sizeBytes: 1 }]).catch((error) => console.log(error.code));
      await device.close();
      console.log(view.length, pool.address);
    `);
    expect(end).toEqual(quietEnd('1,2,3\n3 0\n{\nCE_FILE_NOT_FOUND\n0 0n'));
  });

  it('exits while copies are in flight', async () => {
    expect(await run(`${copiesInFlight} console.log('bye'); process.exit(0);`)).toEqual(quietEnd('bye'));
    expect(await run(`${copiesInFlight} void copies; throw new Error('expected');`)).toMatchObject({
      code: 1,
      signal: null,
    });
  });

  it('keeps the process alive until its promises are settled, and no longer', async () => {
    const end = await run(`${copiesInFlight} Promise.all(copies).then(() => console.log('done'));`);
    expect(end).toEqual(quietEnd('done'));
  });

  it('frees closed memory, and a view keeps its memory only while it is alive', async () => {
    const end = await run(`
      const device = await createHostDevice();
      for (let i = 0; i < 20; i++) {
        const memory = await device.allocateHost(64 * mib);
        memory.view(0, 64 * mib).fill(1);
        memory.close();
      }
      await settle(() => residentMiB() < 250);
      console.log(residentMiB() < 250);
    `);
    expect(end).toEqual(quietEnd('true'));
  });

  it('frees unreferenced memory', async () => {
    const end = await run(`
      await (async () => {
        const device = await createHostDevice();
        const memory = await device.allocateHost(512 * mib);
        memory.view(0, 512 * mib).fill(1);
        const shared = await device.allocateShared(mib);
        device.createStream('copy');
      })();
      await settle(() => residentMiB() < 250);
      console.log(residentMiB() < 250);
    `);
    expect(end).toEqual(quietEnd('true'));
  });

  it('survives the termination of worker threads during their calls', async () => {
    const end = await run(`
      import { Worker } from 'node:worker_threads';
      import { once } from 'node:events';
      import { pathToFileURL } from 'node:url';
      const code = ${JSON.stringify(`${prelude}
        import { parentPort } from 'node:worker_threads';
        const device = await createHostDevice({ index: 751, threads: 2 });
        const stream = device.createStream('copy');
        const [from, to] = [await device.allocateHost(4 * mib), await device.allocateHost(4 * mib)];
        const quiet = () => {};
        const go = () => {
          stream.copy([{ from: range(from), to: range(to) }]).then(go, quiet);
          from.write(0, new Uint8Array(100_000)).catch(quiet);
          device.allocateHost(100_000).then((memory) => { memory.view(0, 1000).fill(1); memory.close(); }, quiet);
          from.read([{ path: '/nonexistent', fileOffsetBytes: 0, offsetBytes: 0, sizeBytes: 10 }]).catch(quiet);
        };
        go();
        parentPort.postMessage('going');
        setInterval(go, 2);
      `)};
      const url = new URL('data:text/javascript,' + encodeURIComponent(code.replace("'@checkpoint-engine/device'", JSON.stringify(pathToFileURL('dist/index.js').href))));
      for (let i = 0; i < 20; i++) {
        const worker = new Worker(url);
        await once(worker, 'message');
        await new Promise((done) => setTimeout(done, i));
        await worker.terminate();
      }
      console.log('alive');
    `);
    expect(end).toEqual(quietEnd('alive'));
  });

  it('stops reading the bytes of a worker thread that ends', async () => {
    const end = await run(`
      import { Worker } from 'node:worker_threads';
      import { once } from 'node:events';
      import { pathToFileURL } from 'node:url';
      const code = ${JSON.stringify(`${prelude}
        import { parentPort } from 'node:worker_threads';
        const device = await createHostDevice({ index: 752, threads: 2 });
        const memory = await device.allocateHost(64 * mib);
        // Nothing but the write refers to these bytes, which are freed with the thread.
        const go = () => memory.write(0, new Uint8Array(new SharedArrayBuffer(64 * mib))).then(go, () => {});
        go();
        go();
        parentPort.postMessage('going');
      `)};
      const url = new URL('data:text/javascript,' + encodeURIComponent(code.replace("'@checkpoint-engine/device'", JSON.stringify(pathToFileURL('dist/index.js').href))));
      for (let i = 0; i < 20; i++) {
        const worker = new Worker(url);
        await once(worker, 'message');
        await new Promise((done) => setTimeout(done, i));
        await worker.terminate();
      }
      console.log('alive');
    `);
    expect(end).toEqual(quietEnd('alive'));
  });

  it('works in worker threads, which may end at any time', async () => {
    const end = await run(`
      import { Worker } from 'node:worker_threads';
      import { pathToFileURL } from 'node:url';
      const code = ${JSON.stringify(`${prelude}
        import { parentPort } from 'node:worker_threads';
        ${copiesInFlight}
        parentPort.postMessage(from.view(0, 1)[0]);
        await Promise.all(copies);
        await new Promise(() => setInterval(() => {}, 1000));
      `)};
      const url = new URL('data:text/javascript,' + encodeURIComponent(code.replace("'@checkpoint-engine/device'", JSON.stringify(pathToFileURL('dist/index.js').href))));
      for (let round = 0; round < 3; round++) {
        const workers = [0, 1].map(() => new Worker(url));
        await Promise.all(workers.map((worker) => new Promise((done, fail) => { worker.once('message', done); worker.once('error', fail); })));
        await Promise.all(workers.map((worker) => worker.terminate()));
      }
      const device = await createHostDevice();
      await device.close();
      console.log('still here');
    `);
    expect(end).toEqual(quietEnd('still here'));
  });

  it(`says what to do if the addon is missing (${name})`, async () => {
    const script = new Script(
      `${prelude} await createHostDevice().catch((error) => console.log(error.code, error.message));`,
      command,
      { CHECKPOINT_ENGINE_ADDONS: 'nowhere' },
    );
    const { output } = (await script.end()) as { output: string };
    expect(output).toContain('CE_LIBRARY_NOT_FOUND');
    expect(output).toContain(join(packageFolder, 'nowhere', 'ce_device.node'));
  });
});
