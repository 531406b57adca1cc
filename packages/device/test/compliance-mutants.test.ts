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

const OWN_MEMORY = 'manifest > returns host memory if it declares so, and device memory otherwise';
const ADDRESS = 'memory > has an address and a size, loses its address when closed, and can be closed twice';
const VIEWS = 'memory > of the host is viewed without a copy, and its views are empty once it is closed';
const WRITES = 'memory > of the host takes bytes at an offset, and refuses ranges outside of it';
const EVERY_BYTE =
  'copies > transfer every byte in every direction between host and device, at odd offsets, and change no other byte';
const ORDER = 'copies > take effect in the order in which they are submitted, within a call and from call to call';
const MISUSE = 'copies > of no bytes resolve, and ranges of different sizes or outside of their memory are refused';
const ALIVE = 'copies > in progress keep closed memory alive';
const READS = 'files > are read range by range to the given offsets, and nothing else is written';
const BAD_READS = 'files > that are missing, too short or read beyond the memory cause an error with their paths';
const SHARED =
  'sharing > device memory is shared with processes that open its handle: each side sees the writes of the other';
const SHARED_HOST = 'sharing > shareable host memory is shared as well, and other host memory has no handle';
const CLOSING = 'lifecycle > closing waits for copies, closes all memory, and refuses later calls';
const LEAKS = 'lifecycle > allocating, copying and closing 100 times leaves no file and no mapping behind';

const mutants: [DeviceMutation, string][] = [
  ['has-no-kind', 'manifest > declares its name, the version of its contract, and everything that it supports'],
  ['more-free-than-total', 'manifest > reports its total and free memory'],
  ['hides-host-memory', OWN_MEMORY],
  ['address-after-close', ADDRESS],
  ['views-are-copies', VIEWS],
  ['views-stay', VIEWS],
  ['writes-off-by-one', WRITES],
  ['view-clamps', WRITES],
  ['pin-clears', 'memory > of the host can be pinned repeatedly, and keeps its bytes'],
  ['drops-last-byte', EVERY_BYTE],
  ['ignores-from-offset', EVERY_BYTE],
  ['reverses-copies', ORDER],
  ['accepts-unequal-ranges', MISUSE],
  ['resolves-early', EVERY_BYTE],
  ['forgets-closed-memory', ALIVE],
  ['reads-from-start', READS],
  ['reads-without-progress', READS],
  ['hides-truncation', BAD_READS],
  ['reads-after-abort', 'files > are not read if the signal has already fired'],
  ['handle-of-another', SHARED],
  ['shares-all-host-memory', SHARED_HOST],
  ['leaks-shared-memory', LEAKS],
  ['works-after-close', CLOSING],
];

test.each(mutants)('a device with the fault "%s" fails the test "%s"', async (mutation, finds) => {
  expect(await failures(mutation, finds.split(' > ')[0]!)).toContain(finds);
});
