import type { NeedsSummary } from './pull-values.ts';

/** How a worker receives the parts of its model, and why. Plain data. */
export interface ModuleReport {
  readonly modules: number;
  /** Modules whose bytes are pulled. */
  readonly direct: number;
  /** Modules that are loaded in their checkpoint format and processed by the engine. */
  readonly staged: number;
  /** Modules that only the engine's loader understands. */
  readonly opaque: number;
  /** Of the direct modules, those that are proved through another module of their kind. */
  readonly represented: number;
  /** Kinds of modules that are proved through a representative. */
  readonly kinds: number;
  readonly recordedMs: number;
  readonly provedMs: number;
  /** Modules that are not direct, and why: at most 100. */
  readonly reasons: readonly { readonly module: string; readonly reason: string }[];
}

/** Maximum number of reasons that are kept of a worker's summary, and maximum number of characters of a text in it. */
const MAX_REASONS = 100;
const LONGEST_TEXT = 300;

/**
 * Reads a worker's summary. Fields of an unexpected type count as absent: the summary is only shown, and no decision
 * depends on it.
 *
 * @returns Nothing if the value is not an object.
 */
export function readNeedsSummary(value: unknown): NeedsSummary | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const fields = value as Readonly<Record<string, unknown>>;
  const count = (name: keyof NeedsSummary): number => {
    const number = fields[name];
    return typeof number === 'number' && Number.isFinite(number) && number >= 0 ? number : 0;
  };
  return {
    ...{ modules: count('modules'), direct: count('direct'), staged: count('staged'), opaque: count('opaque') },
    reasons: typeof fields.reasons === 'string' ? fields.reasons : '',
    ...{ recordedMs: count('recordedMs'), provedMs: count('provedMs') },
    ...{ represented: count('represented'), kinds: count('kinds') },
  };
}

/** Converts a worker's summary to a report with separate reasons. */
export function moduleReport({ reasons, represented = 0, kinds = 0, ...summary }: NeedsSummary): ModuleReport {
  const { modules, direct, staged, opaque, recordedMs, provedMs } = summary;
  const lines = reasons.split('\n', MAX_REASONS).filter((line) => line !== '');
  return {
    ...{ modules, direct, staged, opaque, represented, kinds, recordedMs, provedMs },
    reasons: lines.map((line) => {
      const [module = '', ...reason] = line.split('\t');
      return { module: shownText(module, LONGEST_TEXT), reason: shownText(reason.join(' '), LONGEST_TEXT) };
    }),
  };
}

/** Turns text from another process into one line of bounded length, without control characters. */
export function shownText(text: string, maxCharacters: number): string {
  return text.slice(0, maxCharacters).replace(/\p{Cc}/gu, ' ');
}

/**
 * Formats a report as one line: `371 of 377 modules direct, 6 staged, 0 opaque: 6 because the engine changes their
 * values`.
 */
export function moduleReportText({ modules, direct, staged, opaque, represented, reasons }: ModuleReport): string {
  const counts = new Map<string, number>();
  for (const { reason } of reasons) if (reason !== '') counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const why = [...counts].map(([reason, count]) => `${count} because ${reason}`);
  const through = represented > 0 ? ` (${represented} through another module of their kind)` : '';
  const text = `${direct} of ${modules} modules direct${through}, ${staged} staged, ${opaque} opaque`;
  return why.length === 0 ? text : `${text}: ${why.join('; ')}`;
}
