import pico from 'picocolors';
import { describe, expect, it } from 'vitest';
import { inspectionText } from './inspection-text.ts';

describe('inspectionText', () => {
  it('escapes control characters and truncates long names', () => {
    const names = ['layer\x1b[31m.weight\n', 'x'.repeat(100_000)];
    const path = '/m/a\x1b[31m/model.safetensors';
    const tensors = names.map((name) => ({
      ...{ name, dtype: 'U8' as const, shape: [4], sizeBytes: 4, path, offsetBytes: 0, fileOffsetBytes: 0 },
    }));
    const state = { device: 0n, inode: 0n, sizeBytes: 0, modifiedNs: 0n, changedNs: 0n, links: 1 };
    const file = { path, sizeBytes: 8, dataOffsetBytes: 0, metadata: {}, tensors, headerDigest: '', state };
    const inspection = {
      ...{ path, files: [file], tensors, totalBytes: 8, dtypes: [], warnings: [], problems: [] },
    };
    const options = { colors: pico.createColors(false), allTensors: true, debug: false };
    const text = inspectionText(inspection, options);
    expect(text).toContain('"layer\\u001b[31m.weight\\n"');
    expect(text).toContain(`${'x'.repeat(200)}...`);
    expect(text).not.toContain('\x1b');
    expect(text).not.toContain('x'.repeat(201));
  });
});
