/** Stages in the order of a bucket's way, and what they are called where there is room. */
export const STAGES: Readonly<Record<string, string>> = {
  read: 'read from file or peer',
  h2d: 'host to device',
  broadcast: 'broadcast',
  reload: 'reload by the engine',
};

/** The same colour everywhere; apart for eyes that do not tell red from green. */
export const STAGE_COLORS: Readonly<Record<string, string>> = {
  read: '#b8b8b8',
  h2d: '#4477aa',
  broadcast: '#ee7733',
  reload: '#228833',
};

/** Phases of an update in their order. */
export const PHASE_COLORS: Readonly<Record<string, string>> = {
  plan: '#cc6677',
  handshake: '#ddcc77',
  stream: '#4477aa',
  release: '#aa4499',
  hook: '#88ccee',
  'not told apart': '#bbbbbb',
};

/** A legend whose order is that of the colours. */
export function legendOf(
  colors: Readonly<Record<string, string>>,
  used: ReadonlySet<string>,
): { domain: string[]; range: string[] } {
  const domain = Object.keys(colors).filter((name) => used.has(name));
  return { domain, range: domain.map((name) => colors[name]!) };
}
