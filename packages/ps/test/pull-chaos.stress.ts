// The long program of kills, freezes and aborts: `npm run test:stress`.
import process from 'node:process';

process.env.CHAOS_ROUNDS ??= '300';
await import('./pull-chaos.test.ts');
