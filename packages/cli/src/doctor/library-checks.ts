import type { Environment } from '../config/environment.ts';
import type { Check } from './check.ts';
import { checkWithPackage } from './check-with-package.ts';

/** NCCL, searched for as the transport does. A wrong path in the environment is worse than no library. */
export function checkNccl(env: Environment): Promise<Check> {
  const need = 'needed for more than one rank on GPUs';
  return checkWithPackage({
    about: { id: 'nccl', title: 'NCCL' },
    need,
    name: '@checkpoint-engine/transport-nccl',
    load: () => import('@checkpoint-engine/transport-nccl'),
    check: ({ ncclAvailability }) => {
      const nccl = ncclAvailability();
      if (nccl.available) return { status: 'found', value: `${nccl.version} (${nccl.path})`, details: { ...nccl } };
      const status = env.CHECKPOINT_ENGINE_NCCL_LIB ? 'missing' : 'optional';
      return { status, value: `${oneLine(nccl.reason)}; ${need}`, hint: nccl.hint, details: { ...nccl } };
    },
  });
}

/** Mooncake Transfer Engine, searched for as the transport does. */
export function checkMooncake(): Promise<Check> {
  const need = 'needed for reads between hosts over RDMA';
  return checkWithPackage({
    about: { id: 'mooncake', title: 'Mooncake' },
    need,
    name: '@checkpoint-engine/transport-rdma',
    load: () => import('@checkpoint-engine/transport-rdma'),
    check: async ({ mooncakeAvailability }) => {
      const mooncake = await mooncakeAvailability();
      if (mooncake.available) {
        return { status: 'found', value: `${mooncake.version} (${mooncake.python})`, details: { ...mooncake } };
      }
      const { reason, hint } = mooncake;
      return { status: 'optional', value: `${oneLine(reason)}; ${need}`, hint, details: { ...mooncake } };
    },
  });
}

/** The places that were searched, and the result of each. */
function oneLine(reason: string): string {
  const [what, ...places] = reason.split('\n');
  return places.length === 0 ? what! : `${what}: ${places.join(', ')}`;
}
