import { execFileSync } from 'node:child_process';

/** Two hosts of a test: network namespaces with a cable between them. Needs root. */
export interface TwoHosts {
  /** Their addresses. */
  readonly addresses: readonly [string, string];
  /** The command that runs a process on a host. */
  on(host: 0 | 1): readonly string[];
  /** Bytes that have come to a host over the cable. */
  receivedBytes(host: 0 | 1): number;
  remove(): void;
}

const ip = (...args: string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
};

/** @returns The reason if they cannot be created here. */
export function twoHosts(): TwoHosts | string {
  const suffix = process.pid;
  const names = [`ce-a-${suffix}`, `ce-b-${suffix}`] as const;
  const addresses = ['10.231.78.1', '10.231.78.2'] as const;
  const made: string[] = [];
  const remove = (): void => {
    for (const name of made.splice(0)) ip('netns', 'del', name);
  };
  try {
    for (const name of names) {
      ip('netns', 'add', name);
      made.push(name);
    }
    ip('link', 'add', 'cable', 'netns', names[0], 'type', 'veth', 'peer', 'name', 'cable', 'netns', names[1]);
    for (const [host, name] of names.entries()) {
      ip('-n', name, 'address', 'add', `${addresses[host]}/24`, 'dev', 'cable');
      for (const link of ['cable', 'lo']) ip('-n', name, 'link', 'set', link, 'up');
    }
    const on = (host: 0 | 1): string[] => ['ip', 'netns', 'exec', names[host]];
    const receivedBytes = (host: 0 | 1): number => {
      const [program, ...args] = [...on(host), 'cat', '/sys/class/net/cable/statistics/rx_bytes'];
      return Number(execFileSync(program!, args, { encoding: 'utf8' }));
    };
    return { addresses, on, receivedBytes, remove };
  } catch (error) {
    remove();
    return `network namespaces cannot be made here: ${(error as Error).message.trim().split('\n').at(-1)}`;
  }
}
