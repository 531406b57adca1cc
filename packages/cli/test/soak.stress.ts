// The long version of soak.test.ts, which explains the variables. It takes 15 minutes.
import process from 'node:process';

process.env.SOAK_CYCLES ??= '1000';
process.env.SOAK_RANKS ??= '4';
await import('./soak.test.ts');
