import type { SharedMemory } from '@checkpoint-engine/interface';
import { v1Protocol, type WorkerProtocol } from '@checkpoint-engine/ps';

/** The protocol with host memory: its handle is padded to the size of CUDA's, and the worker finds the file by it. */
export const overHostMemory: WorkerProtocol = {
  name: 'v1',
  createSession: async (options) => {
    const session = await v1Protocol().createSession({ ...options, deviceKind: 'cuda' });
    const open = session.open.bind(session);
    session.open = ({ sizeBytes, handle }, call) => {
      const padded = new Uint8Array(64);
      padded.set(handle);
      return open({ sizeBytes, handle: padded } as unknown as SharedMemory, call);
    };
    return session;
  },
};
