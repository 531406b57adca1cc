// A FAKE driver and a FAKE NCCL for machines without a GPU: they test this package's use of NCCL, not NCCL.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));
const deviceFolder = fileURLToPath(new URL('../../device', import.meta.url));

/** The reason why the fakes cannot be built here; empty if they can. */
export const noCompiler = ((): string => {
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' });
    return '';
  } catch {
    console.warn('skipped: tests with a fake NCCL: there is no C compiler');
    return 'there is no C compiler';
  }
})();

/** Builds both fakes, and returns the environment in which a process finds them. */
export function buildFakes(): Record<'CHECKPOINT_ENGINE_CUDA_LIB' | 'CHECKPOINT_ENGINE_NCCL_LIB', string> {
  execFileSync('make', ['-C', `${deviceFolder}/native`, '-s', 'fake-cuda']);
  execFileSync('make', ['-C', `${packageFolder}/native`, '-s', 'fake-nccl']);
  return {
    CHECKPOINT_ENGINE_CUDA_LIB: `${deviceFolder}/build/libfake-cuda.so`,
    CHECKPOINT_ENGINE_NCCL_LIB: `${packageFolder}/build/libfake-nccl.so`,
  };
}
