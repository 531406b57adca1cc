// Keeps 64 connections to the store's port and to every socket of ranks that /proc/net/unix lists, and does with them
// what its first argument says. None of them proves who it is.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setPriority } from 'node:os';
import process from 'node:process';

const [mode, port] = process.argv.slice(2);
const CONNECTIONS = 64;
const LOOK_EVERY_MS = 20;
const SOCKETS = /00010000 .*@((?:checkpoint-engine-shm-|ce2-)\S+)/;

// What strangers cost by themselves is not the ranks' fault.
setPriority(19);

const flood = new Uint8Array(64 * 1024).fill(0x91);
const open = new Map();
let total = 0;
const bytesOf = {
  idle: () => undefined,
  dribble: () => new Uint8Array(1),
  flood: () => flood,
  garbage: () => Uint8Array.from({ length: 100 }, () => Math.random() * 256),
}[mode];

function add(name, to) {
  const socket = connect(to);
  const all = open.get(name) ?? new Set();
  open.set(name, all.add(socket));
  total += 1;
  socket.on('error', () => {}).resume();
  socket.once('connect', () => say(socket));
  if (mode === 'flood') socket.on('drain', () => say(socket));
  socket.once('close', () => all.delete(socket));
}

function say(socket) {
  const bytes = bytesOf();
  if (bytes !== undefined && socket.writable && socket.writableLength === 0) socket.write(bytes);
}

function targets() {
  const names = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .flatMap((line) => SOCKETS.exec(line)?.[1] ?? []);
  return [['store', { port: Number(port), host: '127.0.0.1' }], ...names.map((name) => [name, { path: `\0${name}` }])];
}

setInterval(() => {
  for (const [name, to] of targets()) {
    for (let n = open.get(name)?.size ?? 0; n < CONNECTIONS; n++) add(name, to);
    if (mode === 'dribble') for (const socket of open.get(name)) say(socket);
  }
}, LOOK_EVERY_MS);
process.on('message', () => process.send({ total }));
process.send('ready');
