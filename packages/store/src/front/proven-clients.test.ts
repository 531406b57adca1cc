import { expect, test } from 'vitest';
import { type ProvenClient, ProvenClients } from './proven-clients.ts';

const closed: string[] = [];
const client = (name: string, isAnswered: boolean, heardAt: number): ProvenClient => ({
  isAnswered,
  heardAt,
  close: () => closed.push(name),
});

test('closes the oldest client that has sent no hello, then the client that was silent for the longest time', () => {
  const clients = new ProvenClients(3);
  clients.add(client('rank', true, 30));
  clients.add(client('first idle', false, 90));
  clients.add(client('second idle', false, 80));
  clients.add(client('rank that joins', true, 100));
  expect(closed).toEqual(['first idle']);
  clients.add(client('silent rank', true, 20));
  expect(closed).toEqual(['first idle', 'second idle']);
  const last = client('last', true, 110);
  clients.add(last);
  expect(closed).toEqual(['first idle', 'second idle', 'silent rank']);
  clients.delete(last);
  clients.add(client('successor', true, 120));
  expect(closed).toHaveLength(3);
});
