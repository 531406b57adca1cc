import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { largeRuns, variants } from './large-clusters.ts';
import { largeClustersPage } from './large-clusters-page.ts';

const page = largeClustersPage(variants(), largeRuns());
writeFileSync(fileURLToPath(new URL('../../../../docs/simulate-large-clusters.md', import.meta.url)), page);
console.log(page);
