import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { alignDown, alignUp, DEFAULT_ALIGN_BYTES } from './align.ts';
import type { BucketSizing, SizeBucketsInput } from './bucket-sizing.ts';
import { checkNotNegative, checkPositive, checkPositiveInteger } from './check-argument.ts';
import { formatBytes, formatBytesExactly } from './format-bytes.ts';

const MIB = 2 ** 20;
/** Smaller buckets cost more in messages than another slot saves, so the planner drops slots first. */
const SMALLEST_USEFUL_BUCKET_BYTES = 16 * MIB;
/** Smallest number of buckets, if they stay useful, for the three stages to overlap. */
const MIN_BUCKETS = 8;
const DEFAULT_MEM_FRACTION = 0.9;
const DEFAULT_BOUND_BYTES = 1024 * MIB;
/** Part of the default bound that stays available for ordinary buckets next to a tensor that fills the bound. */
const EXTRA_BYTES = 512 * MIB;
/** With fewer ring slots, a broadcast cannot overlap with a reload. */
const OVERLAPPING_RING_SLOTS = 2;

interface Slots {
  readonly ring: number;
  readonly staging: number;
}

/**
 * Decides how large buckets are and how much device memory they use.
 *
 * Ring and staging are byte rings: buckets of any size follow each other (see {@link placeInRing}). A ring of n slots
 * holds the largest bucket and n - 1 ordinary ones, so that one huge tensor does not multiply the memory.
 *
 * An ordinary bucket starts as the preferred size, bounded by `maxBucketBytes`, by an eighth of all bytes, and by the
 * bytes of one owner (the latter two not below 16 MiB); a tensor that is larger makes its own bucket. The function then
 * takes the first of these that fits:
 *
 * 1. all slots, with smaller buckets, but not below 16 MiB (or the preferred size);
 * 2. the same with fewer staging slots, down to 1; then with fewer ring slots, down to 2: all stages still overlap;
 * 3. 2 ring slots and 1 staging slot with buckets of any size;
 * 4. 1 ring slot and 1 staging slot: serial.
 *
 * @throws {CheckpointEngineError} `CE_PLAN_MEMORY_TOO_SMALL` when that does not fit either, with the bytes needed.
 * @throws {RangeError} A number is outside of its range.
 */
export function sizeBuckets(input: SizeBucketsInput): BucketSizing {
  check(input);
  const { freeBytes, deviceMemoryBytes, memFraction = DEFAULT_MEM_FRACTION, staging, ring = {} } = input;
  const softBytes = input.softMemoryBytes ?? DEFAULT_BOUND_BYTES;
  const all: Slots = { ring: ring.slots ?? 3, staging: staging ? (ring.stagingSlots ?? 2) : 0 };
  const tensorBytes = slotBytes(alignUp(largestUnitBytes(input), DEFAULT_ALIGN_BYTES));
  const strictBytes = Math.min(deviceMemoryBytes ?? Number.POSITIVE_INFINITY, Math.floor(freeBytes * memFraction));
  const defaultBytes = Math.max(softBytes, ringsOf(all) * tensorBytes + EXTRA_BYTES);
  const boundBytes = Math.min(deviceMemoryBytes ?? defaultBytes, strictBytes);
  const allowedBytes = Math.min(input.preferredBucketBytes, input.maxBucketBytes ?? Number.POSITIVE_INFINITY);
  const preferredBytes = slotBytes(Math.min(allowedBytes, usefulBytes(input)));
  const minBytes = Math.min(preferredBytes, SMALLEST_USEFUL_BUCKET_BYTES);

  const overlapping = overlappingSlots(all);
  const serial: Slots = { ring: 1, staging: Math.min(all.staging, 1) };
  const choices = [
    ...overlapping.map((slots) => ({ slots, minBytes })),
    { slots: overlapping.at(-1)!, minBytes: DEFAULT_ALIGN_BYTES },
    { slots: serial, minBytes: DEFAULT_ALIGN_BYTES },
  ].map((choice) => ({ ...choice, fillBytes: largestFill(choice.slots, tensorBytes, preferredBytes, boundBytes) }));
  const choice = choices.find((candidate) => candidate.fillBytes >= candidate.minBytes);
  if (!choice) throw tooSmallError(input, serial, tensorBytes, strictBytes);

  const { slots, fillBytes } = choice;
  const bucketBytes = Math.max(fillBytes, tensorBytes);
  const ringBytes = bucketBytes + (slots.ring - 1) * fillBytes;
  const stagingBytes = slots.staging === 0 ? 0 : bucketBytes + (slots.staging - 1) * fillBytes;
  const deviceBytes = ringBytes + stagingBytes;
  const grown = tensorBytes > slotBytes(allowedBytes);
  const notes = [
    `${slotsText(slots)} of ${formatBytes(fillBytes)}, ${formatBytes(deviceBytes)} of device memory in all`,
    grown &&
      `the bucket of ${largestText(input)} grew from ${formatBytes(allowedBytes)} to ${formatBytes(tensorBytes)}`,
    fillBytes < preferredBytes &&
      `buckets shrank from ${formatBytes(preferredBytes)} to fit ${formatBytes(boundBytes)}`,
    slots.ring + slots.staging < all.ring + all.staging &&
      `fewer than ${slotsText(all)}, which do not fit ${formatBytes(boundBytes)}`,
    deviceBytes > softBytes &&
      deviceMemoryBytes === undefined &&
      `above the default bound of ${formatBytes(softBytes)}, for ${largestText(input)}`,
    slots.ring < OVERLAPPING_RING_SLOTS && 'stages run one after the other',
  ];
  return {
    bucketBytes,
    fillBytes,
    ringSlots: slots.ring,
    stagingSlots: slots.staging,
    ringBytes,
    stagingBytes,
    deviceBytes,
    grown,
    reason: notes.filter(Boolean).join('; '),
  };
}

/** Bytes of the ring and, if there is one, the staging ring. Each of them holds the largest bucket once. */
const ringsOf = ({ staging }: Slots): number => (staging > 0 ? 2 : 1);

/** Returns the size of the largest ordinary bucket with which all slots stay within the limit; 0 if none does. */
function largestFill(slots: Slots, tensorBytes: number, preferredBytes: number, limitBytes: number): number {
  const count = slots.ring + slots.staging;
  const evenBytes = alignDown(limitBytes / count, DEFAULT_ALIGN_BYTES);
  if (evenBytes >= tensorBytes) return Math.min(preferredBytes, evenBytes);
  const leftBytes = limitBytes - ringsOf(slots) * tensorBytes;
  const ordinary = count - ringsOf(slots);
  if (leftBytes < 0) return 0;
  const fitBytes = ordinary === 0 ? tensorBytes : alignDown(leftBytes / ordinary, DEFAULT_ALIGN_BYTES);
  return Math.min(preferredBytes, fitBytes);
}

function check(input: SizeBucketsInput): void {
  const { freeBytes, largestTensorBytes, totalBytes, worldSize, memFraction = DEFAULT_MEM_FRACTION, ring = {} } = input;
  checkNotNegative('freeBytes', freeBytes);
  checkNotNegative('largestTensorBytes', largestTensorBytes);
  checkNotNegative('totalBytes', totalBytes);
  checkPositiveInteger('worldSize', worldSize);
  checkPositive('maxBucketBytes', input.maxBucketBytes ?? 1);
  checkPositive('deviceMemoryBytes', input.deviceMemoryBytes ?? 1);
  checkPositive('softMemoryBytes', input.softMemoryBytes ?? 1);
  checkPositive('preferredBucketBytes', input.preferredBucketBytes);
  checkPositiveInteger('ring.slots', ring.slots ?? 1);
  checkPositiveInteger('ring.stagingSlots', ring.stagingSlots ?? 1);
  if (!(memFraction > 0 && memFraction <= 1)) {
    throw new RangeError(`memFraction is ${memFraction}, expected above 0 and at most 1`);
  }
}

/** A slot has at least one unit of alignment. */
function slotBytes(bytes: number): number {
  return Math.max(DEFAULT_ALIGN_BYTES, alignDown(bytes, DEFAULT_ALIGN_BYTES));
}

/** Size beyond which a larger bucket has no benefit: there would be too few to overlap, or no owner could fill it. */
function usefulBytes({ totalBytes, worldSize, ...input }: SizeBucketsInput): number {
  const ownerBytes = totalBytes / worldSize + largestUnitBytes(input);
  return Math.max(SMALLEST_USEFUL_BUCKET_BYTES, Math.min(totalBytes / MIN_BUCKETS, ownerBytes));
}

/** Slot counts with which all stages overlap, in the order in which the function tries them. */
function overlappingSlots(all: Slots): Slots[] {
  const choices = [all];
  for (let staging = all.staging - 1; staging >= 1; staging--) choices.push({ ring: all.ring, staging });
  const staging = Math.min(all.staging, 1);
  for (let ring = all.ring - 1; ring >= OVERLAPPING_RING_SLOTS; ring--) choices.push({ ring, staging });
  return choices;
}

/** The smallest size that a bucket must hold. */
function largestUnitBytes({
  largestTensorBytes,
  largestGroup,
}: Omit<SizeBucketsInput, 'totalBytes' | 'worldSize'>): number {
  return Math.max(largestTensorBytes, largestGroup?.sizeBytes ?? 0);
}

function largestText({ largestTensorBytes, largestGroup }: SizeBucketsInput): string {
  if (largestGroup === undefined || largestGroup.sizeBytes <= largestTensorBytes) return 'the largest tensor';
  return `the ${largestGroup.tensorCount} tensors "${largestGroup.key}", which are loaded in one call,`;
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
    `An update needs ${formatBytesExactly(neededBytes)} of device memory (${slotsText(slots)} for ${largestText(input)} of ` +
      `${formatBytesExactly(largestUnitBytes(input))}) but has ${formatBytesExactly(availableBytes)}, ` +
      (availableBytes === deviceMemoryBytes
        ? 'all that --device-memory allows'
        : `${memFraction} of the free memory (PS_MEM_FRACTION)`),
    advice.filter(Boolean).join('; '),
  );
}
