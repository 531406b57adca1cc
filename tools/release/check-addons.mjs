import { execFileSync } from 'node:child_process';

/** The newest glibc that an addon may need: that of Ubuntu 22.04 and of everything later. */
const NEWEST_GLIBC = '2.35';
const MACHINES = { x64: 'X86-64', arm64: 'AArch64' };
/** What may be linked against. Everything else is opened at run time, or linked in. */
const LIBRARIES = /^(libc\.so\.6|ld-linux-.*\.so\.\d)$/;

const isNewer = (a, b) => a.localeCompare(b, 'en', { numeric: true }) > 0;

/** What is wrong with an addon in a folder `linux-<arch>`: another processor's, or more wanted of a system than it has. */
export function addonProblems(path) {
  const [, arch] = /linux-(\w+)\/[^/]+\.node$/.exec(path) ?? [];
  const read = (...args) => execFileSync('readelf', [...args, '--wide', path], { encoding: 'utf8' });
  const [, machine] = /Machine:\s+(.*)/.exec(read('--file-header'));
  const libraries = [...read('--dynamic').matchAll(/NEEDED.*\[(.*)\]/g)].map(([, name]) => name);
  const versions = [...read('--version-info').matchAll(/Name: GLIBC_([\d.]+)/g)].map(([, version]) => version);
  return [
    ...(machine.includes(MACHINES[arch]) ? [] : [`it is for ${machine}, not for ${arch}`]),
    ...libraries.filter((name) => !LIBRARIES.test(name)).map((name) => `it needs the library ${name}`),
    ...versions
      .filter((version) => isNewer(version, NEWEST_GLIBC))
      .map((version) => `it needs glibc ${version}, and ${NEWEST_GLIBC} is what it may need`),
  ];
}
