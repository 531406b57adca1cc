import { fuzz } from './fuzz/run.ts';

fuzz(Number(process.env.FUZZ_COUNT ?? 100_000), Number(process.env.FUZZ_SEED ?? 1), 1_800_000);
