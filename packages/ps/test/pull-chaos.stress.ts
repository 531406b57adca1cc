// The long program of kills, freezes and aborts in pulls: 9 minutes. See pull-chaos.test.ts for its variables.
import process from 'node:process';

process.env.CHAOS_ROUNDS ??= '300';
await import('./pull-chaos.test.ts');
