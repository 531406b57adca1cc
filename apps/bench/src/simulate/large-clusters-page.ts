import { type LargeRun, type Variant, WORLD_SIZES } from './large-clusters.ts';

const seconds = (ms: number): string => (ms >= 9950 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 1000).toFixed(2)} s`);

/** The chapter of the documentation about clusters of 256 to 4,096 GPUs. */
export function largeClustersPage(variants: readonly Variant[], runs: readonly LargeRun[]): string {
  const titles = [...new Set(runs.map(({ title }) => title))];
  return `# Updates on 256, 1,024 and 4,096 GPUs

\`npm run bench -w apps/bench -- simulate large-clusters\` writes this page from the simulator. These updates have not been measured.
[SIMULATION.md](../apps/bench/SIMULATION.md) compares the simulator with measurements, on up to 256 GPUs for the Python tool and on
up to 4 GPUs for ours. Hosts have 8 H200 GPUs and 8 NICs that reach 35 GB/s each, and the weights are in host memory at
the start. GLM-4.5-Air and Qwen3-235B use TP8, DeepSeek-V3.1 and Kimi-K2 TP16. The time of a receiver's first recording is not included.

## The same models by method

${titles.map((title) => modelTable(title, runs)).join('\n\n')}

## What limits each method

${limits(runs)}

- **python-broadcast** and **broadcast** send every byte to every GPU, and a loader in Python takes 0.1 ms for each tensor and some
  milliseconds for each bucket, regardless of the links. More GPUs make it slower: each bucket has to reach more hosts.
- **broadcast** is slower than \`python-broadcast\` on 256 GPUs for all but the smallest model, and for the two largest on 1,024. Its
  rings stay within 4 GiB of device memory, and those of Kimi-K2 must hold a tensor of 2.2 GiB, which leaves buckets of about 170 MiB,
  and so thousands of calls of the loader. \`--device-memory\` and \`--bucket-size\` change this (see below).
- **pull** has no loader. Each host reads the data that its GPUs keep once, and this data passes through its host memory. If a host keeps
  a large part of the model, host memory is the limit, not the NICs or the number of hosts: the time on 4,096 GPUs is close to
  the time on 256.

## A model of 10^12 parameters in under 3 s on 256 GPUs

The model is Kimi-K2, FP8. Each row changes the conditions:

| condition | time | device memory | what it waits for |
| --- | ---: | ---: | --- |
${variants.map(variantLine).join('\n')}

${conclusion(variants)}
`;
}

function modelTable(title: string, runs: readonly LargeRun[]): string {
  const own = runs.filter((run) => run.title === title);
  const { totalBytes, tensorCount } = own[0]!.result;
  const methods = [...new Set(own.map(({ method }) => method))];
  const lines = methods.map((method) => {
    const times = WORLD_SIZES.map((gpus) =>
      seconds(own.find((run) => run.method === method && run.gpus === gpus)!.result.totalMs),
    );
    const { deviceBytes } = own.find((run) => run.method === method)!.result.memory;
    return `| ${method} | ${times.join(' | ')} | ${gib(deviceBytes)} |`;
  });
  return `**${title}**, ${(totalBytes / 1e9).toFixed(0)} GB, ${tensorCount.toLocaleString('en-US')} tensors

| Method | ${WORLD_SIZES.map((gpus) => `${gpus.toLocaleString('en-US')} GPUs`).join(' | ')} | device memory |
| --- | ${WORLD_SIZES.map(() => '---:').join(' | ')} | ---: |
${lines.join('\n')}`;
}

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(bytes < 2 ** 30 ? 2 : 1)} GiB`;

function limits(runs: readonly LargeRun[]): string {
  const titles = [...new Set(runs.map(({ title }) => title))];
  const largest = titles.at(-1)!;
  const lines = runs
    .filter(({ title }) => title === largest)
    .map(({ method, gpus, result }) => `| ${method} | ${gpus.toLocaleString('en-US')} | ${result.bottleneck} |`);
  return `These are the limits of ${largest}:\n\n| Method | GPUs | what it waits for |\n| --- | ---: | --- |\n${lines.join('\n')}`;
}

const variantLine = ({ label, result }: Variant): string =>
  `| ${label} | ${seconds(result.totalMs)} | ${gib(result.memory.deviceBytes)} | ${result.bottleneck} |`;

function conclusion(variants: readonly Variant[]): string {
  const near = variants.filter(({ result }) => result.totalMs < 3000).map(({ label }) => `- ${label}`);
  const list = near.length > 0 ? near.join('\n') : '- none of them';
  return `These take less than 3 s:

${list}

A pull is fast enough if each host needs a small part of the model, which is the case if its GPUs keep few experts. With TP16, host
memory that is twice as fast is not enough, and faster NICs then have no effect: copies over PCIe and host memory take the time. For
a broadcast, a loader of 10 us per tensor instead of 100 (faster than any Python loader today), large buckets, and links that are
twice as fast are still not enough.`;
}
