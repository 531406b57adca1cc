import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { validateOwn } from './validate-own.ts';
import { validatePublished } from './validate-published.ts';
import { validationPage } from './validation-page.ts';

const page = validationPage(validatePublished(true), validateOwn());
writeFileSync(fileURLToPath(new URL('../../SIMULATION.md', import.meta.url)), page);
console.log(page);
