import { runPythonRanks } from '../update/python-ranks.ts';

/** Rates of torch and NCCL on the links of this machine, in 1e9 bytes per second for the slowest GPU. */
export interface LinkFloors {
  readonly torch: string;
  readonly nccl: string;
  readonly h2d_alone_GBps: number;
  readonly h2d_all_GBps: number;
  readonly broadcast_GBps?: number;
  /** Broadcast while every GPU copies its share from the host. */
  readonly both_GBps?: number;
}

/** Measures them with none of the product's code. Needs Python with torch. */
export async function linkFloors(python: string, worldSize: number): Promise<LinkFloors> {
  const [first] = await runPythonRanks<LinkFloors>({ python, script: 'floors.py', worldSize });
  return first!;
}

/** Times of broadcasts between processes with torch's gloo backend. */
export interface GlooFigures {
  readonly torch: string;
  readonly seconds: readonly number[];
  readonly bytes: number;
}

/** Broadcasts this many bytes with gloo, for comparison with the host device. Needs Python with torch. */
export async function glooBroadcast(python: string, worldSize: number, sizeBytes: number): Promise<GlooFigures> {
  const args = (): string[] => ['--bytes', String(sizeBytes)];
  const [first] = await runPythonRanks<GlooFigures>({ python, script: 'gloo.py', worldSize, args });
  return first!;
}
