import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { rdma } from '@checkpoint-engine/transport-rdma';

/** A member of a compliance world. */
export async function p2p({ rank }) {
  const device = await createHostDevice({ index: rank });
  const { MOONCAKE_PYTHON: python, MOONCAKE_PROTOCOL: protocol, MOONCAKE_HOST: host } = process.env;
  return { device, transport: rdma({ python, protocol, host }) };
}
