// The CUDA kind on a FAKE driver (test/fake-cuda), which this process opens once, only for this file.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { createCudaDevice } from '@checkpoint-engine/device';
import { deviceSuite } from '@checkpoint-engine/transport-compliance';
import * as runner from 'vitest';
import { packageFolder } from './support.ts';

runner.beforeAll(() => {
  execFileSync('make', ['-C', join(packageFolder, 'native'), '-s', 'fake-cuda']);
  process.env.CHECKPOINT_ENGINE_CUDA_LIB = join(packageFolder, 'build', 'libfake-cuda.so');
});

const peer = new URL('./open-cuda-device.mjs', import.meta.url);
deviceSuite({ runner, name: 'cuda on a fake driver', open: createCudaDevice, peer });
