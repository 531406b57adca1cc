// The long version of pull-chaos.test.ts, which explains the variables. It takes 9 minutes.
import process from 'node:process';

process.env.CHAOS_ROUNDS ??= '300';
await import('./pull-chaos.test.ts');
