// Keeps 64 unauthenticated connections to each address. The first argument is their behavior. The second argument is the
// address: `{"port"}`, or `{"pids", "names"}` for the abstract sockets of these processes whose names have the prefix
// `names`; every update creates such sockets. In the mode `dribble`, a connection sends `head` character by character,
// and then repeats the last character.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import process from 'node:process';

const [mode, address] = process.argv.slice(2);
const { port, head = '\0', pids = [], names = '' } = JSON.parse(address);
const CONNECTIONS = 64;
// Listeners of an update are open for a few milliseconds.
const POLL_INTERVAL_MS = 1;
const DRIBBLE_EVERY_MS = 20;
const LISTENER = /00010000 \d+ \d+ +(\d+) @(\S+)/;

const flood = new Uint8Array(64 * 1024).fill(0x91);
const open = new Map();
const owned = new Map();
let total = 0;
const sent = new WeakMap();
const bytesOf = {
  idle: () => undefined,
  dribble: (sent) => new TextEncoder().encode(head[Math.min(sent, head.length - 1)]),
  flood: () => flood,
  garbage: () => Uint8Array.from({ length: 100 }, () => Math.random() * 256),
}[mode];

function add(name, to) {
  const socket = connect(to);
  const all = open.get(name) ?? new Set();
  open.set(name, all.add(socket));
  total += 1;
  socket.on('error', () => {}).resume();
  socket.once('connect', () => send(socket));
  if (mode === 'flood') socket.on('drain', () => send(socket));
  socket.once('close', () => all.delete(socket));
}

function send(socket) {
  const bytes = bytesOf(sent.get(socket) ?? 0);
  sent.set(socket, (sent.get(socket) ?? 0) + 1);
  if (bytes !== undefined && socket.writable && socket.writableLength === 0) socket.write(bytes);
}

/** Whether one of the processes holds a socket; each socket is looked up once. */
function isOwned(inode) {
  if (!owned.has(inode))
    owned.set(
      inode,
      pids.some((pid) => holds(pid, inode)),
    );
  return owned.get(inode);
}

function holds(pid, inode) {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => linkOf(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`);
  } catch {
    return false; // It has ended.
  }
}

function linkOf(path) {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // It was closed meanwhile.
  }
}

function targets() {
  if (port !== undefined) return [['port', { port, host: '127.0.0.1' }]];
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, inode, name = ''] = LISTENER.exec(line) ?? [];
      return name.startsWith(names) && isOwned(inode) ? [[name, { path: `\0${name}` }]] : [];
    });
}

setInterval(() => {
  for (const [name, to] of targets()) {
    for (let n = open.get(name)?.size ?? 0; n < CONNECTIONS; n++) add(name, to);
  }
}, POLL_INTERVAL_MS);
setInterval(() => {
  if (mode === 'dribble') for (const all of open.values()) for (const socket of all) send(socket);
}, DRIBBLE_EVERY_MS);
process.on('message', () => process.send({ total }));
process.send('ready');
