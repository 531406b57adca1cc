import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { alignDown, alignUp, DEFAULT_ALIGN_BYTES } from './align.ts';
import type { BucketSizing, SizeBucketsInput } from './bucket-sizing.ts';
import { checkNotNegative, checkPositive, checkPositiveInteger } from './check-argument.ts';
import { formatBytes, formatBytesExactly } from './format-bytes.ts';

const MIB = 2 ** 20;
/** Large enough that the fixed cost of a bucket is small beside its copies, on every link. */
const PREFERRED_BUCKET_BYTES = 256 * MIB;
/** Smaller buckets cost more in messages than another slot brings: slots are given up first. */
const SMALLEST_USEFUL_BUCKET_BYTES = 16 * MIB;
/** So many buckets at least, where they stay useful, for the three stages to overlap at all. */
const LEAST_BUCKETS = 8;
const DEFAULT_MEM_FRACTION = 0.9;
const DEFAULT_BOUND_BYTES = 1024 * MIB;
/** With fewer ring slots, a bucket cannot be broadcast while another is reloaded. */
const OVERLAPPING_RING_SLOTS = 2;

interface Slots {
  readonly ring: number;
  readonly staging: number;
}

/**
 * Decides how large buckets are and how many slots hold them.
 *
 * The bucket starts as the preferred size, bounded by `maxBucketBytes`, by an eighth of all bytes, and by what one
 * owner has (the latter two not below 16 MiB), and grows to the largest tensor. Then the first of these that fits is
 * taken:
 *
 * 1. all slots, with smaller buckets, but not below 16 MiB (or the size wanted, or the largest tensor);
 * 2. the same with fewer staging slots, down to 1; then with fewer ring slots, down to 2: all stages still overlap;
 * 3. 2 ring slots and 1 staging slot of as little as the largest tensor. Here the default bound of 1 GiB gives way to
 *    the tensor; `deviceMemoryBytes` and free memory never do;
 * 4. 1 ring slot and 1 staging slot: serial.
 *
 * @throws {CheckpointEngineError} `CE_PLAN_MEMORY_TOO_SMALL` when that does not fit either, with what it needs.
 * @throws {RangeError} A number is out of its range.
 */
export function sizeBuckets(input: SizeBucketsInput): BucketSizing {
  check(input);
  const { freeBytes, deviceMemoryBytes, memFraction = DEFAULT_MEM_FRACTION, staging, ring = {} } = input;
  const strictBytes = Math.min(deviceMemoryBytes ?? Number.POSITIVE_INFINITY, Math.floor(freeBytes * memFraction));
  const boundBytes = Math.min(deviceMemoryBytes ?? DEFAULT_BOUND_BYTES, strictBytes);
  const allowedBytes = Math.min(
    input.preferredBucketBytes ?? PREFERRED_BUCKET_BYTES,
    input.maxBucketBytes ?? Number.POSITIVE_INFINITY,
  );
  const tensorBytes = slotBytes(alignUp(input.largestTensorBytes, DEFAULT_ALIGN_BYTES));
  const wantedBytes = slotBytes(Math.min(allowedBytes, usefulBytes(input)));
  const leastBytes = Math.max(tensorBytes, Math.min(wantedBytes, SMALLEST_USEFUL_BUCKET_BYTES));

  const all: Slots = { ring: ring.slots ?? 3, staging: staging ? (ring.stagingSlots ?? 2) : 0 };
  const fit = ({ ring, staging }: Slots, limitBytes: number): number =>
    Math.min(Math.max(wantedBytes, tensorBytes), alignDown(limitBytes / (ring + staging), DEFAULT_ALIGN_BYTES));
  const forTensor = ({ ring, staging }: Slots): number =>
    Math.min(strictBytes, Math.max(boundBytes, (ring + staging) * tensorBytes));

  const overlapping = overlappingSlots(all);
  const least = overlapping.at(-1)!;
  const serial: Slots = { ring: 1, staging: Math.min(all.staging, 1) };
  const choices = [
    ...overlapping.map((slots) => ({ slots, bucketBytes: fit(slots, boundBytes), leastBytes })),
    { slots: least, bucketBytes: fit(least, forTensor(least)), leastBytes: tensorBytes },
    { slots: serial, bucketBytes: fit(serial, forTensor(serial)), leastBytes: tensorBytes },
  ];
  const choice = choices.find((candidate) => candidate.bucketBytes >= candidate.leastBytes);
  if (!choice) throw tooSmallError(input, serial, tensorBytes, strictBytes);

  const { slots, bucketBytes } = choice;
  const deviceBytes = bucketBytes * (slots.ring + slots.staging);
  const grown = tensorBytes > slotBytes(allowedBytes);
  const notes = [
    `${slotsText(slots)} of ${formatBytes(bucketBytes)}, ${formatBytes(deviceBytes)} of device memory in all`,
    grown && `buckets grew from ${formatBytes(allowedBytes)} to the largest tensor`,
    bucketBytes < wantedBytes && `buckets shrank from ${formatBytes(wantedBytes)} to fit ${formatBytes(boundBytes)}`,
    slots.ring + slots.staging < all.ring + all.staging &&
      `fewer than ${slotsText(all)}, which do not fit ${formatBytes(boundBytes)}`,
    deviceBytes > boundBytes && `above the default bound of ${formatBytes(boundBytes)}, for the largest tensor`,
    slots.ring < OVERLAPPING_RING_SLOTS && 'stages run one after the other',
  ];
  return {
    bucketBytes,
    fillBytes: Math.min(bucketBytes, wantedBytes),
    ringSlots: slots.ring,
    stagingSlots: slots.staging,
    deviceBytes,
    grown,
    reason: notes.filter(Boolean).join('; '),
  };
}

function check(input: SizeBucketsInput): void {
  const { freeBytes, largestTensorBytes, totalBytes, worldSize, memFraction = DEFAULT_MEM_FRACTION, ring = {} } = input;
  checkNotNegative('freeBytes', freeBytes);
  checkNotNegative('largestTensorBytes', largestTensorBytes);
  checkNotNegative('totalBytes', totalBytes);
  checkPositiveInteger('worldSize', worldSize);
  checkPositive('maxBucketBytes', input.maxBucketBytes ?? 1);
  checkPositive('deviceMemoryBytes', input.deviceMemoryBytes ?? 1);
  checkPositive('preferredBucketBytes', input.preferredBucketBytes ?? 1);
  checkPositiveInteger('ring.slots', ring.slots ?? 1);
  checkPositiveInteger('ring.stagingSlots', ring.stagingSlots ?? 1);
  if (!(memFraction > 0 && memFraction <= 1)) {
    throw new RangeError(`memFraction is ${memFraction}, wanted above 0 and at most 1`);
  }
}

/** A slot has at least one unit of alignment. */
function slotBytes(bytes: number): number {
  return Math.max(DEFAULT_ALIGN_BYTES, alignDown(bytes, DEFAULT_ALIGN_BYTES));
}

/** Beyond this a bucket brings nothing: there would be too few to overlap, or no owner could fill it. */
function usefulBytes({ totalBytes, largestTensorBytes, worldSize }: SizeBucketsInput): number {
  const ownerBytes = totalBytes / worldSize + largestTensorBytes;
  return Math.max(SMALLEST_USEFUL_BUCKET_BYTES, Math.min(totalBytes / LEAST_BUCKETS, ownerBytes));
}

/** Slots with which all stages overlap, in the order in which they are given up. */
function overlappingSlots(all: Slots): Slots[] {
  const choices = [all];
  for (let staging = all.staging - 1; staging >= 1; staging--) choices.push({ ring: all.ring, staging });
  const staging = Math.min(all.staging, 1);
  for (let ring = all.ring - 1; ring >= OVERLAPPING_RING_SLOTS; ring--) choices.push({ ring, staging });
  return choices;
}

function slotsText({ ring, staging }: Slots): string {
  return staging > 0 ? `${ring} ring + ${staging} staging slots` : `${ring} ring ${ring === 1 ? 'slot' : 'slots'}`;
}

function tooSmallError(input: SizeBucketsInput, slots: Slots, tensorBytes: number, availableBytes: number): Error {
  const { freeBytes, deviceMemoryBytes, memFraction = DEFAULT_MEM_FRACTION } = input;
  const neededBytes = (slots.ring + slots.staging) * tensorBytes;
  const neededFreeBytes = Math.ceil(neededBytes / memFraction);
  const flagIsTooSmall = deviceMemoryBytes !== undefined && deviceMemoryBytes < neededBytes;
  const advice = [
    flagIsTooSmall && `Set --device-memory to ${neededBytes} or more`,
    freeBytes < neededFreeBytes &&
      `Let the engine sleep or lower its memory share until ${formatBytesExactly(neededFreeBytes)} are free, or raise PS_MEM_FRACTION`,
  ];
  return new CheckpointEngineError(
    'CE_PLAN_MEMORY_TOO_SMALL',
    `An update needs ${formatBytesExactly(neededBytes)} of device memory (${slotsText(slots)} for the largest tensor of ` +
      `${formatBytesExactly(input.largestTensorBytes)}) but has ${formatBytesExactly(availableBytes)}, ` +
      (availableBytes === deviceMemoryBytes
        ? 'all that --device-memory allows'
        : `${memFraction} of what is free (PS_MEM_FRACTION)`),
    advice.filter(Boolean).join('; '),
  );
}
