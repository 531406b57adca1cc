// Removes the registry's addresses from package-lock.json: integrity hashes identify the packages, and every registry
// serves the same. Run after `npm install`.
import { readFileSync, writeFileSync } from 'node:fs';

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
for (const entry of Object.values(lock.packages)) if (/^https?:/.test(entry.resolved ?? '')) delete entry.resolved;
writeFileSync('package-lock.json', `${JSON.stringify(lock, undefined, 2)}\n`);
