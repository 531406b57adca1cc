import type { BroadcastTransport, Device, SpecVersion } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import { checkSpecVersions } from './check-spec-versions.ts';

const part = (name: string, specVersion: number) => ({ name, specVersion: specVersion as SpecVersion });
const device = part('host', 1) as Device;

describe('checkSpecVersions', () => {
  it('accepts parts of its own version, and missing parts', () => {
    expect(() => checkSpecVersions({ device })).not.toThrow();
    expect(() => checkSpecVersions({ device, broadcast: part('shm', 1) as BroadcastTransport })).not.toThrow();
  });

  it.each([0, 2])('refuses a part of version %d by its name', (version) => {
    expect(() => checkSpecVersions({ device, broadcast: part('theirs', version) as BroadcastTransport })).toThrow(
      expect.objectContaining({ code: 'CE_NOT_SUPPORTED', message: expect.stringContaining('"theirs"') }),
    );
  });
});
