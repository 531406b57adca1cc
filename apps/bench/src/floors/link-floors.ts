import { runPythonRanks } from '../update/python-ranks.ts';

/** What torch and NCCL reach on the links of this machine. 1e9 bytes a second for each GPU, of the slowest. */
export interface LinkFloors {
  readonly torch: string;
  readonly nccl: string;
  readonly h2d_alone_GBps: number;
  readonly h2d_all_GBps: number;
  readonly broadcast_GBps?: number;
  /** Broadcast while every GPU takes its share from the host. */
  readonly both_GBps?: number;
}

/** Measures them with none of the product's code. Needs Python with torch. */
export async function linkFloors(python: string, worldSize: number): Promise<LinkFloors> {
  const [first] = await runPythonRanks<LinkFloors>({ python, script: 'floors.py', worldSize });
  return first!;
}
