import type { Store } from '@checkpoint-engine/interface';
import { BroadcastHost } from '../broadcast/broadcast-host.ts';
import type { BroadcastFactory } from '../broadcast/broadcast-member.ts';
import { P2PHost } from '../p2p/p2p-host.ts';
import type { P2PFactory } from '../p2p/p2p-member.ts';
import { resolveFactory } from './factory.ts';
import type { MemberHost } from './member-host.ts';
import type { MemberContext } from './member-parts.ts';
import type { Factory, Kind } from './world.ts';

/** Creates a member in this process, with the suite's store if the factory provides none. */
export async function makeHost<K extends Kind>(
  kind: K,
  factory: Factory<K>,
  context: MemberContext,
  openStore: () => Promise<Store>,
): Promise<MemberHost> {
  const make = await resolveFactory(kind, factory);
  if (kind === 'broadcast') {
    const parts = await (make as BroadcastFactory)(context);
    return new BroadcastHost(parts.device, parts.store ?? (await openStore()), parts.transport);
  }
  const parts = await (make as P2PFactory)(context);
  return new P2PHost(parts.device, parts.store ?? (await openStore()), parts.transport);
}

/** Runs one operation of a host. */
export async function callHost(host: MemberHost, name: string, args: unknown): Promise<unknown> {
  const operation: unknown = Reflect.get(host, name);
  if (typeof operation !== 'function') throw new TypeError(`A member has no operation "${name}"`);
  return await operation.call(host, args);
}
