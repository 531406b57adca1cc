import { moduleReportText } from '@checkpoint-engine/interface';
import { formatBytes } from '@checkpoint-engine/planner';
import { plural } from '../output/format.ts';
import { type Column, renderTable } from '../output/table.ts';
import type { Colors } from '../output/terminal.ts';
import type { NeedsPlan } from './plan-needs.ts';

/** Formats what a pull would move as text. */
export function needsText({ source, checkpointBytes, ranks, hosts }: NeedsPlan, colors: Colors): string {
  const receiving = ranks.filter(({ neededBytes }) => neededBytes > 0);
  const needed = receiving.reduce((sum, rank) => sum + rank.neededBytes, 0);
  const all = checkpointBytes * receiving.length;
  const crossing = hosts.reduce((sum, host) => sum + host.readBytes, 0);
  const broadcast = hosts.reduce((sum, host) => sum + host.broadcastBytes, 0);
  return [
    `${colors.bold('With a pull')}: ${source}`,
    `  workers keep ${formatBytes(needed)}, ${percent(needed, all)} of the ${formatBytes(all)} that ${plural(receiving.length, 'rank')} take in buckets`,
    ...(hosts.length > 1
      ? [
          `  ${formatBytes(crossing)} cross the network, ${percent(crossing, broadcast)} of the ${formatBytes(broadcast)} that ${plural(hosts.length, 'host')} take in buckets`,
        ]
      : []),
    '',
    renderTable(
      columns('rank', 'host', 'keeps', 'of all', 'from own host', 'reads', 'saves'),
      ranks.map((rank) => [
        ...[String(rank.rank), String(rank.host), formatBytes(rank.neededBytes)],
        percent(rank.neededBytes, checkpointBytes),
        ...[rank.pooledBytes, rank.readBytes, rank.savedBytes].map(formatBytes),
      ]),
    ),
    ...ranks.flatMap(({ rank, modules }) =>
      modules === undefined ? [] : [`  rank ${rank}: ${moduleReportText(modules)}`],
    ),
    '',
    renderTable(
      columns('host', 'ranks', 'holds', 'reads once', 'with buckets', 'saves'),
      hosts.map((host) => [
        ...[String(host.host), rankSpan(host.ranks)],
        ...[host.heldBytes, host.readBytes, host.broadcastBytes].map(formatBytes),
        formatBytes(Math.max(0, host.broadcastBytes - host.readBytes)),
      ]),
    ),
  ].join('\n');
}

function columns(...heads: readonly string[]): Column[] {
  return heads.map((head) => ({ head, align: 'right' }));
}

/** Ranks of a host are neighbors. */
function rankSpan(ranks: readonly number[]): string {
  const [first] = ranks;
  return ranks.length === 1 ? String(first) : `${first}-${ranks.at(-1)}`;
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '0 %' : `${((part / whole) * 100).toFixed(1)} %`;
}
