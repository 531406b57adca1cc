import type { Device, Store } from '@checkpoint-engine/interface';
import type { Factory, Kind, Kinds } from './world.ts';

/** What a factory is told. */
export interface MemberContext {
  readonly rank: number;
  readonly worldSize: number;
  /** A name that the members of this world share with no other world. */
  readonly worldName: string;
}

/** What every member is made of. The member closes it all. */
export interface MemberParts {
  readonly device: Device;
  /** The outermost scope of this world. @default a store of the suite's own */
  readonly store?: Store | undefined;
}

/** The function that a factory stands for. */
export async function resolveFactory<K extends Kind>(kind: K, factory: Factory<K>): Promise<Kinds[K]['factory']> {
  if (!(factory instanceof URL)) return factory as Kinds[K]['factory'];
  const module = (await import(factory.href)) as Record<string, unknown>;
  if (typeof module[kind] !== 'function') throw new TypeError(`${factory.href} exports no function "${kind}"`);
  return module[kind] as Kinds[K]['factory'];
}
