import type { LinkUse, StageTime } from '../result.ts';

const LINK_TEXT: Readonly<Record<LinkUse['kind'], string>> = {
  file: 'the file system',
  memory: 'host memory',
  switch: 'a PCIe switch',
  pcie: 'the PCIe link of a GPU',
  nvlink: 'NVLink',
  'nic-in': 'a NIC that receives',
  'nic-out': 'a NIC that sends',
  spine: 'the spine',
};
const STAGE_TEXT: Readonly<Record<StageTime['stage'], string>> = {
  meet: 'ranks that agree on the plan',
  handshake: 'the handshake with the engines',
  read: 'reads from files or other hosts',
  h2d: 'copies to the device',
  broadcast: 'broadcasts',
  barrier: 'ranks that wait for each other',
  reload: 'the loader in the engine',
  pull: 'copies into the parameters',
  release: 'the release of the buffer',
  hook: 'the work of the engine after loading',
};
/** Minimum utilization of a link that an update waits for. */
const BUSY = 0.8;

/** Describes in one sentence what an update waits for. */
export function bottleneckOf(stages: readonly StageTime[], links: readonly LinkUse[], totalMs: number): string {
  const worst = stages.toSorted((a, b) => b.criticalMs - a.criticalMs)[0];
  if (worst === undefined || totalMs === 0) return 'Nothing moves';
  const percent = (part: number): string => `${Math.round(100 * part)} %`;
  const share = percent(worst.criticalMs / totalMs);
  const text = `${share} of the time waits for ${STAGE_TEXT[worst.stage]}`;
  const link = links[0];
  if (link === undefined) return text;
  const use = `${LINK_TEXT[link.kind]} (${link.name}) is used at ${percent(link.utilization)}`;
  return link.utilization >= BUSY ? `${text}; ${use}` : `${text}; the most used link, ${use}`;
}
