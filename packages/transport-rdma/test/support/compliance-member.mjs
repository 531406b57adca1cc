import process from 'node:process';
import { createHostDevice } from '@checkpoint-engine/device';
import { rdma } from '@checkpoint-engine/transport-rdma';

/** A member of a compliance world. */
export async function p2p({ rank }) {
  const device = await createHostDevice({ index: rank });
  return { device, transport: rdma({ python: process.env.MOONCAKE_PYTHON, protocol: 'tcp' }) };
}
