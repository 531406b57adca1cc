import { RankLostError, type SerializedError } from '@checkpoint-engine/interface';
import type { StoreAnswer, StoreCall } from './store-call.ts';

interface Scope {
  readonly members: Set<number>;
  readonly values: Map<string, string>;
  readonly counters: Map<string, number>;
  readonly waiting: Map<string, ((value: string) => void)[]>;
  readonly watching: ((error: SerializedError | undefined) => void)[];
  readonly closedBy: Set<number>;
  error: SerializedError | undefined;
}

/** The state behind the stores of one world: values, pending waits, and failures. */
export class StoreHub {
  readonly #scopes = new Map<string, Scope>();
  readonly #lost = new Set<number>();

  /** Answers one member's call. */
  async handle(rank: number, call: StoreCall): Promise<StoreAnswer> {
    const scope = this.#scope(call.scope);
    switch (call.op) {
      case 'watch':
        return await this.#watch(scope, call.members);
      case 'set':
        scope.values.set(call.key, call.value);
        for (const resolve of scope.waiting.get(call.key) ?? []) resolve(call.value);
        scope.waiting.delete(call.key);
        return undefined;
      case 'get':
        return scope.values.get(call.key);
      case 'wait':
        return scope.values.get(call.key) ?? (await this.#wait(scope, call.key));
      case 'add': {
        const sum = (scope.counters.get(call.key) ?? 0) + call.delta;
        scope.counters.set(call.key, sum);
        return sum;
      }
      case 'abort':
        fail(scope, call.error);
        return undefined;
      case 'close':
        scope.closedBy.add(rank);
        if ([...scope.members].every((member) => scope.closedBy.has(member) || this.#lost.has(member))) {
          this.#scopes.delete(call.scope);
          for (const resolve of scope.watching) resolve(undefined);
        }
        return undefined;
    }
  }

  /** Fails every current and later scope that has the rank as a member. */
  lose(rank: number): void {
    this.#lost.add(rank);
    for (const scope of this.#scopes.values()) {
      if (scope.members.has(rank)) fail(scope, new RankLostError(rank).toJSON());
    }
  }

  #scope(name: string): Scope {
    let scope = this.#scopes.get(name);
    if (scope === undefined) {
      scope = {
        members: new Set(),
        values: new Map(),
        counters: new Map(),
        waiting: new Map(),
        watching: [],
        closedBy: new Set(),
        error: undefined,
      };
      this.#scopes.set(name, scope);
    }
    return scope;
  }

  #watch(scope: Scope, members: readonly number[]): Promise<SerializedError | undefined> | SerializedError {
    for (const member of members) scope.members.add(member);
    const lost = members.find((member) => this.#lost.has(member));
    if (lost !== undefined) fail(scope, new RankLostError(lost).toJSON());
    return scope.error ?? new Promise((resolve) => scope.watching.push(resolve));
  }

  #wait(scope: Scope, key: string): Promise<string> {
    return new Promise((resolve) => {
      const waiting = scope.waiting.get(key) ?? [];
      waiting.push(resolve);
      scope.waiting.set(key, waiting);
    });
  }
}

function fail(scope: Scope, error: SerializedError): void {
  scope.error ??= error;
  for (const resolve of scope.watching.splice(0)) resolve(scope.error);
}
