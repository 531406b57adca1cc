import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import process from 'node:process';

/** Hosts of a benchmark: network namespaces, each with a NIC of its own on one switch. Needs root. */
export interface SimulatedHosts {
  readonly addresses: readonly string[];
  /** The command that runs a process on a host. */
  on(host: number): readonly string[];
  remove(): void;
}

const run = (file: string, ...args: string[]): void => {
  execFileSync(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
};

/**
 * Creates hosts whose NICs send at most at a given rate.
 *
 * @param options.rateMbps Maximum rate of each NIC, in 1e6 bits per second. @default unlimited
 * @param options.coresApart Gives each host its own part of this machine's cores, as hosts have. @default false
 */
export function simulateHosts(
  count: number,
  { rateMbps, coresApart = false }: { readonly rateMbps?: number; readonly coresApart?: boolean } = {},
): SimulatedHosts {
  const suffix = process.pid % 10_000;
  const namespaces: string[] = [];
  const remove = (): void => {
    for (const name of namespaces.splice(0)) run('ip', 'netns', 'del', name);
  };
  const add = (name: string): string => {
    run('ip', 'netns', 'add', name);
    namespaces.push(name);
    run('ip', '-n', name, 'link', 'set', 'lo', 'up');
    return name;
  };
  try {
    const hub = add(`ce-hub-${suffix}`);
    run('ip', '-n', hub, 'link', 'add', 'switch', 'type', 'bridge');
    run('ip', '-n', hub, 'link', 'set', 'switch', 'up');
    const names = Array.from({ length: count }, (_, host) => add(`ce-${host}-${suffix}`));
    const addresses = names.map((name, host) => {
      const plug = `plug${host}`;
      run('ip', 'link', 'add', 'nic', 'netns', name, 'type', 'veth', 'peer', 'name', plug, 'netns', hub);
      run('ip', '-n', hub, 'link', 'set', plug, 'master', 'switch', 'up');
      run('ip', '-n', name, 'address', 'add', `10.231.90.${host + 1}/24`, 'dev', 'nic');
      run('ip', '-n', name, 'link', 'set', 'nic', 'up');
      if (rateMbps !== undefined) {
        const shape = ['rate', `${rateMbps}mbit`, 'burst', '256kb', 'latency', '50ms'];
        for (const [where, link] of [
          [name, 'nic'],
          [hub, plug],
        ] as const) {
          run('ip', 'netns', 'exec', where, 'tc', 'qdisc', 'add', 'dev', link, 'root', 'tbf', ...shape);
        }
      }
      return `10.231.90.${host + 1}`;
    });
    const cores = coresOf(count);
    const pinned = (host: number): string[] => (coresApart ? ['taskset', '--cpu-list', cores[host]!] : []);
    return { addresses, on: (host) => ['ip', 'netns', 'exec', names[host]!, ...pinned(host)], remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** Equal parts of the cores, one per host; hosts share cores if there are fewer. */
function coresOf(hosts: number): string[] {
  const cores = availableParallelism();
  const each = Math.max(1, Math.floor(cores / hosts));
  return Array.from({ length: hosts }, (_, host) => {
    const first = (host * each) % cores;
    return `${first}-${first + each - 1}`;
  });
}
