import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseResult } from '../report/parse-result.ts';
import { measuredTable, withMeasuredTable } from './measured-table.ts';
import { type KeptResult, resultsMarkdown } from './results-markdown.ts';

/** Where results are kept, from the sources and from what is built. */
const FOLDER = fileURLToPath(new URL('../../results', import.meta.url));

export const RESULTS_PAGE: string = fileURLToPath(new URL('../../RESULTS.md', import.meta.url));

export const README: string = fileURLToPath(new URL('../../../../README.md', import.meta.url));

/** A link of a page in the folder to a file beside it. */
const LINK_BESIDE = /\]\(([^/:#)]+)\)/g;

/** README.md with the table of the newest results in it. */
export function readmeWithResults(): string {
  return withMeasuredTable(readFileSync(README, 'utf8'), measuredTable(keptResults().map(({ result }) => result)));
}

/** RESULTS.md as the folder has it: JSON of this version as sections, Markdown as it is, the newest first. */
export function resultsOfFolder(): string {
  const prose = readdirSync(FOLDER)
    .toSorted()
    .filter((name) => name.endsWith('.md'))
    .toReversed()
    .map((name) => readFileSync(join(FOLDER, name), 'utf8').replaceAll(LINK_BESIDE, '](results/$1)'));
  return resultsMarkdown(keptResults(), prose);
}

function keptResults(): KeptResult[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name): KeptResult[] => {
      const result = parseResult(readFileSync(join(FOLDER, name), 'utf8'));
      return result === undefined ? [] : [{ file: `results/${name}`, result }];
    });
}
