import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseResult } from '../report/parse-result.ts';
import { detailPage, type KeptResult } from './results-markdown.ts';
import { resultsSummary } from './results-summary.ts';

/** Where results are kept, from the sources and from what is built. */
const FOLDER = fileURLToPath(new URL('../../results', import.meta.url));
const PAGES = join(FOLDER, 'pages');
const RESULTS = fileURLToPath(new URL('../../RESULTS.md', import.meta.url));

/** Every page that is made from the results, by path: RESULTS.md and a page per result. */
export function resultPages(): ReadonlyMap<string, string> {
  const kept = keptResults();
  const reasons = JSON.parse(readFileSync(join(FOLDER, 'reasons.json'), 'utf8')) as Record<string, string>;
  return new Map([
    [RESULTS, resultsSummary(kept, reasons)],
    ...kept.map((one): [string, string] => [join(PAGES, `${one.name}.md`), detailPage(one)]),
  ]);
}

/** Writes {@link resultPages}, and removes pages of results that no longer exist. */
export function writeResultPages(): void {
  rmSync(PAGES, { recursive: true, force: true });
  mkdirSync(PAGES, { recursive: true });
  for (const [path, text] of resultPages()) writeFileSync(path, text);
}

function keptResults(): KeptResult[] {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.json') && name !== 'reasons.json');
  return names.toSorted().map((name) => {
    const result = parseResult(readFileSync(join(FOLDER, name), 'utf8'));
    if (result === undefined) throw new Error(`${name} is not a result of this version of the benchmark`);
    return { name: name.slice(0, -'.json'.length), result };
  });
}
