import assert from 'node:assert/strict';
import type { Device, HostMemory, Memory, MemoryRange } from '@checkpoint-engine/interface';
import { findMismatch, type Pattern, writePattern } from '../pattern.ts';

/** The pattern of a test's bytes, selected by a number. */
export const patternOf = (seed: number): Pattern => ({ root: 0, seed });

/** A range of a memory. @param sizeBytes @default the rest of the memory */
export const range = (
  memory: Memory,
  offsetBytes = 0,
  sizeBytes: number = memory.sizeBytes - offsetBytes,
): MemoryRange => ({ memory, offsetBytes, sizeBytes });

/** Host memory that holds a pattern. */
export async function filledHost(device: Device, sizeBytes: number, seed: number): Promise<HostMemory> {
  const memory = await device.allocateHost(sizeBytes);
  writePattern(patternOf(seed), 0, memory.view(0, sizeBytes));
  return memory;
}

/** Asserts that bytes are those of a pattern from `position` on. */
export function assertPattern(bytes: Uint8Array, seed: number, position: number, what: string): void {
  const wrong = findMismatch(patternOf(seed), position, bytes);
  if (wrong === undefined) return;
  assert.fail(`${what}: byte ${wrong.position - position} is ${wrong.found}, expected ${wrong.expected}`);
}

/** Copies a range into host memory and asserts that it holds a pattern. */
export async function assertHolds(device: Device, from: MemoryRange, seed: number, what: string): Promise<void> {
  const host = await device.allocateHost(Math.max(1, from.sizeBytes));
  const stream = device.createStream('check');
  await stream.copy([{ from, to: range(host, 0, from.sizeBytes) }]);
  assertPattern(host.view(0, from.sizeBytes), seed, 0, what);
  await stream.close();
  host.close();
}
