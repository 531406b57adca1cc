import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseResult } from '../report/parse-result.ts';
import { type KeptResult, resultsMarkdown } from './results-markdown.ts';

/** Where results are kept, from the sources and from what is built. */
const FOLDER = fileURLToPath(new URL('../../results', import.meta.url));

export const RESULTS_PAGE: string = fileURLToPath(new URL('../../RESULTS.md', import.meta.url));

/** RESULTS.md as the folder has it: JSON of this version as sections, Markdown as it is, the newest first. */
export function resultsOfFolder(): string {
  const names = readdirSync(FOLDER).toSorted();
  const results = names
    .filter((name) => name.endsWith('.json'))
    .flatMap((name): KeptResult[] => {
      const result = parseResult(readFileSync(join(FOLDER, name), 'utf8'));
      return result === undefined ? [] : [{ file: `results/${name}`, result }];
    });
  const prose = names
    .filter((name) => name.endsWith('.md'))
    .toReversed()
    .map((name) => readFileSync(join(FOLDER, name), 'utf8'));
  return resultsMarkdown(results, prose);
}
