// Each test of the suite for devices can fail: a device with one fault fails the test for it.
import { deviceSuite } from '@checkpoint-engine/transport-compliance';
import { expect, test } from 'vitest';
import { record } from '../../transport-compliance/test/recording-runner.ts';
import { type DeviceMutation, openBrokenDevice } from './broken-device.ts';

/** The tests of a group that fail with a device that is broken in one way. */
async function failures(mutation: DeviceMutation, group: string): Promise<string[]> {
  const { failed } = await record([group], (runner) => {
    deviceSuite({ runner, name: mutation, open: () => openBrokenDevice(mutation) });
  });
  return [...failed.keys()];
}

const OWN_MEMORY = 'manifest > gives memory of its own as host memory where it says so, and as device memory elsewhere';
const ADDRESS = 'memory > has an address and a size, and no address once it is closed, which it is twice without harm';
const VIEWS = 'memory > of the host is viewed without a copy, and its views are empty once it is closed';
const WRITES = 'memory > of the host takes bytes at an offset, and refuses ranges outside of it';
const EVERY_BYTE = 'copies > bring every byte in every direction between host and device, at odd offsets, and no other';
const ORDER = 'copies > take effect in the order in which they are submitted, within a call and from call to call';
const MISUSE = 'copies > of nothing resolve, and ranges that differ in size or lie outside their memory are refused';
const ALIVE = 'copies > that are under way keep memory alive that is closed meanwhile';
const READS = 'files > are read range by range to where one wants them, and nothing else is written';
const BAD_READS = 'files > that are missing, too short or read to outside the memory reject, and say which';
const SHARED =
  'sharing > memory of the device is one memory for those who open its handle: both see what the other writes';
const SHARED_HOST = 'sharing > so is host memory that was allocated to be shared, and no other has a handle';
const CLOSING = 'lifecycle > closing waits for copies, closes what was given out, and refuses calls from then on';
const LEAKS = 'lifecycle > allocating, copying and closing 100 times leaves no file and no mapping behind';

const mutants: [DeviceMutation, string][] = [
  ['has-no-kind', 'manifest > names itself, the contract it was written for, and all that it supports'],
  ['more-free-than-total', 'manifest > says how much memory it has and how much of it is free'],
  ['hides-host-memory', OWN_MEMORY],
  ['address-after-close', ADDRESS],
  ['views-are-copies', VIEWS],
  ['views-stay', VIEWS],
  ['writes-off-by-one', WRITES],
  ['view-clamps', WRITES],
  ['pin-clears', 'memory > of the host is pinned as often as one asks, and keeps its bytes'],
  ['drops-last-byte', EVERY_BYTE],
  ['ignores-from-offset', EVERY_BYTE],
  ['reverses-copies', ORDER],
  ['accepts-unequal-ranges', MISUSE],
  ['resolves-early', EVERY_BYTE],
  ['forgets-closed-memory', ALIVE],
  ['reads-from-start', READS],
  ['reads-without-progress', READS],
  ['hides-truncation', BAD_READS],
  ['reads-after-abort', 'files > are not read where the signal has fired'],
  ['handle-of-another', SHARED],
  ['shares-all-host-memory', SHARED_HOST],
  ['leaks-shared-memory', LEAKS],
  ['works-after-close', CLOSING],
];

test.each(mutants)('a device with the fault "%s" fails the test "%s"', async (mutation, finds) => {
  expect(await failures(mutation, finds.split(' > ')[0]!)).toContain(finds);
});
