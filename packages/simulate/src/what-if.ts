import type { ClusterTopology } from './cluster/topology.ts';
import type { PreparedSimulation } from './simulate.ts';

/** The same update with one improvement. */
export interface WhatIf {
  /** `NICs twice as fast`. */
  readonly change: string;
  readonly totalMs: number;
  /** Time that the change saves. */
  readonly savedMs: number;
}

type Section = 'gpu' | 'host' | 'network' | 'costs';

const CHANGES: readonly (readonly [change: string, section: Section, factors: Readonly<Record<string, number>>])[] = [
  ['NICs twice as fast', 'host', { nicGBps: 2 }],
  ['PCIe links twice as fast', 'gpu', { pcieGBps: 2 }],
  ['copies in device memory twice as fast', 'gpu', { copyGBps: 2 }],
  ['NVLink twice as fast', 'gpu', { nvlinkGBps: 2 }],
  ['host memory twice as fast', 'host', { memoryGBps: 2 }],
  ['files twice as fast', 'host', { fileGBps: 2 }],
  ['a shared file system twice as fast', 'network', { sharedFileGBps: 2 }],
  ['a loader twice as fast', 'costs', { bucketMs: 0.5, bucketExpertsMs: 0.5, tensorMs: 0.5, sliceMs: 0.5 }],
  [
    'half the time to start and to end',
    'costs',
    {
      meetMs: 0.5,
      meetRankMs: 0.5,
      handshakeMs: 0.5,
      releaseMs: 0.5,
      hookMs: 0.5,
      pythonFixedMs: 0.5,
      pythonGroupMs: 0.5,
    },
  ],
];

/**
 * Runs a plan again with one improvement at a time, and sorts the results by the time saved. The plan stays the same.
 * Omits improvements that save nothing.
 */
export function whatIf(prepared: PreparedSimulation, topology: ClusterTopology): WhatIf[] {
  const { totalMs: nowMs } = prepared.run(topology);
  return CHANGES.map(([change, section, factors]) => {
    const { totalMs } = prepared.run(improved(topology, section, factors));
    return { change, totalMs, savedMs: nowMs - totalMs };
  })
    .filter(({ savedMs }) => savedMs > 1e-6)
    .sort((a, b) => b.savedMs - a.savedMs);
}

function improved(
  topology: ClusterTopology,
  section: Section,
  factors: Readonly<Record<string, number>>,
): ClusterTopology {
  const values = topology[section] as unknown as Readonly<Record<string, number>>;
  const changed = Object.entries(factors).map(([name, factor]) => [name, values[name]! * factor]);
  return { ...topology, [section]: { ...values, ...Object.fromEntries(changed) } };
}
