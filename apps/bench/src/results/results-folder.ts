import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseResult } from '../report/parse-result.ts';
import { detailPage, type KeptResult } from './results-markdown.ts';
import { type Remarks, resultsSummary } from './results-summary.ts';

/** The folder of results, from the sources and from the build. */
const FOLDER = fileURLToPath(new URL('../../results', import.meta.url));
const REMARKS = 'remarks.json';
/** The date at the start of a file name. Scenario and machine follow it. */
const DATE = /^\d{4}-\d{2}-\d{2}-/;
const PAGES = join(FOLDER, 'pages');
const RESULTS = fileURLToPath(new URL('../../RESULTS.md', import.meta.url));

/** Every page that is made from the results, by path: RESULTS.md and a page per result. */
export function resultPages(): ReadonlyMap<string, string> {
  const remarks = JSON.parse(readFileSync(join(FOLDER, REMARKS), 'utf8')) as Remarks;
  const kept = keptResults(remarks);
  return new Map([
    [RESULTS, resultsSummary(kept, remarks)],
    ...kept.map((one): [string, string] => [join(PAGES, `${one.name}.md`), detailPage(one)]),
  ]);
}

/** Writes {@link resultPages}, and removes pages of results that no longer exist. */
export function writeResultPages(): void {
  rmSync(PAGES, { recursive: true, force: true });
  mkdirSync(PAGES, { recursive: true });
  for (const [path, text] of resultPages()) writeFileSync(path, text);
}

function keptResults({ unjudged }: Remarks): KeptResult[] {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.json') && name !== REMARKS);
  return files.toSorted().map((file) => {
    const result = parseResult(readFileSync(join(FOLDER, file), 'utf8'));
    if (result === undefined) throw new Error(`${file} is not a result of this version of the benchmark`);
    const name = file.slice(0, -'.json'.length);
    const slug = name.replace(DATE, '');
    return { name, slug, result, unjudged: unjudged[slug] };
  });
}
