import process from 'node:process';
import type { Device } from '@checkpoint-engine/interface';
import { localPeer, type PeerCall, type PeerReply } from './device-peer.ts';

const module = (await import(process.argv[2]!)) as { readonly open: () => Promise<Device> };
const peer = localPeer(await module.open());

async function run(call: PeerCall): Promise<string | null> {
  if (call.name === 'open') await peer.open(Uint8Array.from(call.handle), call.sizeBytes);
  else if (call.name === 'fill') await peer.fill(call.pattern);
  else if (call.name === 'close') await peer.close();
  else return await peer.check(call.pattern);
  return null;
}

process.on('message', async (call: PeerCall) => {
  const reply: PeerReply = await run(call).then(
    (value) => ({ value }),
    (error: unknown) => ({ error: String(error) }),
  );
  process.send?.(reply);
});
