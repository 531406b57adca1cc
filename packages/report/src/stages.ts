/** Stages in the order in which bytes pass through them, with their names in prose. */
export const STAGES: Readonly<Record<string, string>> = {
  read: 'read from file or peer',
  h2d: 'host to device',
  broadcast: 'broadcast',
  reload: 'reload by the engine',
  pull: 'pull into the parameters',
};

/** One color per stage. They differ for readers who do not see red and green, on light and dark backgrounds. */
export const STAGE_COLORS: Readonly<Record<string, string>> = {
  read: '#999999',
  h2d: '#4477aa',
  broadcast: '#ee7733',
  reload: '#228833',
  pull: '#aa3377',
};

/** Phases of an update in their order. */
export const PHASE_COLORS: Readonly<Record<string, string>> = {
  register: '#999999',
  gatherMetas: '#bbcc33',
  plan: '#cc6677',
  handshake: '#ddaa33',
  stream: '#4477aa',
  release: '#aa4499',
  hook: '#44bb99',
};

/** A legend in the order of the colors. */
export function legendOf(
  colors: Readonly<Record<string, string>>,
  used: ReadonlySet<string>,
): { domain: string[]; range: string[] } {
  const domain = Object.keys(colors).filter((name) => used.has(name));
  return { domain, range: domain.map((name) => colors[name]!) };
}
