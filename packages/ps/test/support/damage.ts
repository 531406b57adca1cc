import type { HostDevice } from '@checkpoint-engine/device';
import { type Copy, type HostMemory, isHostMemory, type Memory, type P2PTransport } from '@checkpoint-engine/interface';

/** Damages bytes on their way, while it is switched on. */
export class Damage {
  /** Changes copies of the stream of this name before they are made. */
  alter: ((copies: readonly Copy[]) => readonly Copy[]) | undefined;
  /** Called with what a stream of a device has copied, or with what was read from a peer. */
  after: ((copies: readonly Pick<Copy, 'to'>[]) => void) | undefined;
  /** Host memory that the device gave out, in order. */
  readonly memories: HostMemory[] = [];

  /** No damage from now on. */
  stop(): void {
    this.alter = undefined;
    this.after = undefined;
  }

  /** Puts the damage around a device. @param stream The name of the streams whose copies are damaged. */
  device(device: HostDevice, stream: string): HostDevice {
    return around(device, {
      allocateHost: async (...args: Parameters<HostDevice['allocateHost']>) => {
        const memory = await device.allocateHost(...args);
        this.memories.push(memory);
        return memory;
      },
      createStream: (name: string) => {
        const made = device.createStream(name);
        if (name !== stream) return made;
        return around(made, {
          copy: async (copies: readonly Copy[]) => {
            const altered = this.alter?.(copies) ?? copies;
            await made.copy(altered);
            this.after?.(altered);
          },
        });
      },
    });
  }

  /** Puts the damage around what a transport reads. */
  p2p(transport: P2PTransport): P2PTransport {
    return around(transport, {
      open: async (...args: Parameters<P2PTransport['open']>) => {
        const endpoint = await transport.open(...args);
        return around(endpoint, {
          read: async (...read: Parameters<typeof endpoint.read>) => {
            await endpoint.read(...read);
            // The probe of each owner reads one byte.
            const reads = read[1].filter(({ local }) => local.sizeBytes > 1);
            if (reads.length > 0) this.after?.(reads.map(({ local }) => ({ to: local })));
          },
        });
      },
    });
  }
}

/** Flips one bit. */
export function flip(memory: Memory, offsetBytes: number, bit = 0): void {
  bytesOf(memory, offsetBytes, 1)[0]! ^= 1 << bit;
}

/** Bytes of host memory. */
export function bytesOf(memory: Memory, offsetBytes: number, sizeBytes: number): Uint8Array {
  if (!isHostMemory(memory)) throw new TypeError('The memory is not host memory');
  return memory.view(offsetBytes, sizeBytes);
}

/** The same object with other methods. */
function around<T extends object>(target: T, methods: object): T {
  return new Proxy(target, {
    get: (_, key) => {
      const own: unknown = Reflect.get(methods, key);
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
