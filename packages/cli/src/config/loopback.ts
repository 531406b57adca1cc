import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

const V4 = '127.0.0.1';
const V6 = '::1';

type ListInterfaces = () => Partial<Record<string, NetworkInterfaceInfo[]>>;

/** The loopback address of this host: 127.0.0.1, or ::1 on a host that has IPv6 only. */
export function loopbackAddress(interfaces: ListInterfaces = networkInterfaces): string {
  if (!mayList()) return V4;
  const addresses = listed(interfaces).filter(({ internal }) => internal);
  const hasV4 = addresses.some(({ family }) => family === 'IPv4');
  return !hasV4 && addresses.some(({ address }) => address === V6) ? V6 : V4;
}

/** Whether the interfaces can be listed without a question to the user, which Deno asks on a terminal. */
function mayList(): boolean {
  const { Deno: deno } = globalThis as {
    Deno?: { permissions: { querySync(of: { name: 'sys'; kind: string }): { state: string } } };
  };
  return (
    deno === undefined || deno.permissions.querySync({ name: 'sys', kind: 'networkInterfaces' }).state === 'granted'
  );
}

/** Returns an empty list if the system refuses to list the interfaces. */
function listed(interfaces: ListInterfaces): NetworkInterfaceInfo[] {
  try {
    return Object.values(interfaces()).flatMap((addresses = []) => addresses);
  } catch {
    return [];
  }
}
