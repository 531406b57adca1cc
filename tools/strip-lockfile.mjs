// Removes the registry's addresses from package-lock.json. Integrity hashes identify the packages, which are the same in
// every registry. Run it after `npm install`.
import { readFileSync, writeFileSync } from 'node:fs';

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
for (const entry of Object.values(lock.packages)) if (/^https?:/.test(entry.resolved ?? '')) delete entry.resolved;
writeFileSync('package-lock.json', `${JSON.stringify(lock, undefined, 2)}\n`);
