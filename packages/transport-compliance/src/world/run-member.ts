import process from 'node:process';
import { socketLink } from '../store/socket-link.ts';
import { TestStore } from '../store/test-store.ts';
import { callHost, makeHost } from './make-host.ts';
import type { MemberHost } from './member-host.ts';
import { type MemberArguments, type MemberReply, type MemberRequest, readyId, storePath } from './member-protocol.ts';
import { toWire } from './wire-error.ts';

/**
 * The main function of a member's process: creates the member and runs the parent's calls until the parent disconnects.
 */
export async function runMember({ kind, factory, rank, worldSize, worldName }: MemberArguments): Promise<void> {
  const reply = (message: MemberReply) =>
    new Promise<void>((resolve) => {
      if (process.connected && process.send) process.send(message, undefined, undefined, () => resolve());
      else resolve();
    });
  const die = () => process.exit(1);
  process.once('disconnect', die); // The test's process is gone.
  try {
    const openStore = async () => new TestStore(await socketLink(storePath(worldName), rank), rank, worldSize);
    const host = await makeHost(kind, new URL(factory), { rank, worldSize, worldName }, openStore);
    process.on('message', async (request: MemberRequest) => {
      const answer = await run(host, request);
      // The parent disconnects after it receives the answer. Then nothing may keep the process alive, or the parent
      // reports it.
      if (request.name === 'shutDown') process.off('disconnect', die);
      await reply(answer);
    });
    await reply({ id: readyId });
  } catch (error) {
    await reply({ id: readyId, error: toWire(error) });
  }
}

async function run(host: MemberHost, { id, name, args }: MemberRequest): Promise<MemberReply> {
  try {
    return { id, value: await callHost(host, name, args) };
  } catch (error) {
    return { id, error: toWire(error) };
  }
}
