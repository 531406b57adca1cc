// Plans an update without running it. Planning needs only names, dtypes and shapes: no device, no rank, no weights.
//
//   node main.mjs                      plans for an example model
//   node main.mjs /models/step-100     plans for a safetensors checkpoint, read from its headers
import { argv } from 'node:process';
import { readCheckpoint, tensorBytes } from '@checkpoint-engine/meta';
import * as planner from '@checkpoint-engine/planner';

const worldSize = 8;
const tensors = argv[2] ? (await readCheckpoint(argv[2])).tensors : pretendModel();

// 1. Which rank owns which tensor? Every rank computes this from the same headers, without communication.
const owners = planner.balanceByBytes(tensors, worldSize);
const metas = Array.from({ length: worldSize }, (_, rank) => metasOf(rank));

// 2. How large are buckets, and how much device memory do they need? Here the engine leaves 4 GiB free.
const sizing = planner.sizeBuckets({
  freeBytes: 4 * 2 ** 30,
  largestTensorBytes: Math.max(...tensors.map(({ sizeBytes }) => sizeBytes)),
  totalBytes: tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  worldSize,
  preferredBucketBytes: 256 * 2 ** 20, // the preferred size for the engine's workers, which updates measure
  staging: true, // owners copy into separate staging memory while the ring receives broadcasts from other ranks
});
console.log(`Buckets: ${sizing.reason}`);

// 3. Which tensors are sent together, and when? Equal metas result in equal plans, so ranks never exchange plans.
const plan = planner.planBuckets(metas, sizing);
const summary = planner.planSummary(plan, metas);
for (const { rank, sizeBytes, tensorCount, bucketCount } of summary.owners) {
  const share = planner.formatBytes(sizeBytes);
  console.log(`Rank ${rank} owns ${tensorCount} tensors, ${share}, and sends ${bucketCount} buckets`);
}

// 4. How long will it take? Use the rates of your machines (1 GBps is 1e9 bytes per second).
const rates = { h2dGBps: 50, broadcastGBps: 150, reloadGBps: 400 };
const { totalMs, boundBy } = planner.estimateUpdate(plan, rates, worldSize);
console.log(`About ${Math.round(totalMs)} ms at these rates, bound by ${boundBy}`);
console.log(`Plan ${plan.digest}: ${plan.buckets.length} buckets of ${plan.tensorCount} tensors, no byte moved`);

/** The metas of a rank: its tensors, one after another in one region of memory. */
function metasOf(rank) {
  const own = [];
  let endBytes = 0;
  for (const { name, dtype, shape, sizeBytes } of tensors.filter((_, index) => owners[index] === rank)) {
    own.push({ name, dtype, shape, sizeBytes, region: 0, offsetBytes: endBytes });
    endBytes += Math.ceil(sizeBytes / 256) * 256; // tensors start at multiples of 256 bytes
  }
  const regions = [{ sizeBytes: endBytes }];
  return { checkpoint: 'dry-run', rank, host: 'nowhere', deviceUuid: '', nics: [], regions, tensors: own };
}

function pretendModel() {
  const bf16 = (name, shape) => ({ name, dtype: 'BF16', shape, sizeBytes: tensorBytes('BF16', shape) });
  const layers = Array.from({ length: 36 }, (_, layer) =>
    ['query', 'key', 'value', 'output', 'mlp'].map((part) => bf16(`layers.${layer}.${part}`, [4096, 4096])),
  );
  return [bf16('embedding', [32_000, 4096]), ...layers.flat(), bf16('head', [32_000, 4096])];
}
