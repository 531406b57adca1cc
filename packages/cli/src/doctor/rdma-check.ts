import type { Check } from './check.ts';
import { checkWithPackage } from './check-with-package.ts';

/** RDMA devices and their ports. */
export function checkRdma(): Promise<Check> {
  const need = 'needed for reads between hosts over RDMA';
  return checkWithPackage({
    about: { id: 'rdma', title: 'RDMA NICs' },
    need,
    name: '@checkpoint-engine/transport-rdma',
    load: () => import('@checkpoint-engine/transport-rdma'),
    check: ({ listRdmaDevices }) => {
      const devices = listRdmaDevices();
      if (devices.length === 0) {
        const hint =
          "Load the NIC's driver; in a container, pass the devices through: docker run --device=/dev/infiniband";
        return { status: 'optional', value: `none; ${need}`, hint };
      }
      const ports = devices.flatMap(({ name, ports }) => ports.map((port) => ({ name, ...port })));
      const value = ports
        .map(
          ({ name, number, active, rateGbps, linkLayer }) =>
            `${name}:${number} ${active ? 'up' : 'down'} ${rateGbps} Gb/s ${linkLayer}`,
        )
        .join(', ');
      if (ports.some(({ active }) => active)) return { status: 'found', value, details: { devices } };
      return { status: 'warning', value, hint: 'No port is active: bring one up', details: { devices } };
    },
  });
}
