// Damaged messages to every reader of the wire. Takes 6 minutes. FUZZ_COUNT sets the messages per reader (100,000), FUZZ_SEED
// another program.
import { fuzz } from './fuzz/run.ts';

fuzz(Number(process.env.FUZZ_COUNT ?? 100_000), Number(process.env.FUZZ_SEED ?? 1), 1_800_000);
