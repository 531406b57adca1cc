import { fuzz } from './fuzz/run.ts';

fuzz(500, Number(process.env.FUZZ_SEED ?? 1), 60_000);
