import { describe, expect, it } from 'vitest';
import { moduleReport, moduleReportText, readNeedsSummary } from './module-report.ts';

const summary = { modules: 377, direct: 371, staged: 6, opaque: 0, reasons: '', recordedMs: 1.5, provedMs: 2 };

describe('readNeedsSummary', () => {
  it('takes fields of the right type', () => {
    expect(readNeedsSummary({ ...summary, reasons: 'a\tb', kinds: 3 })).toEqual({
      ...{ ...summary, reasons: 'a\tb', kinds: 3, represented: 0 },
    });
    const wrong = { modules: -1, direct: 'x', staged: Number.NaN, opaque: null, reasons: 5, kinds: Infinity };
    expect(readNeedsSummary(wrong)).toMatchObject({
      modules: 0,
      direct: 0,
      staged: 0,
      opaque: 0,
      reasons: '',
      kinds: 0,
    });
  });

  it.each([undefined, null, 5, 'text'])('returns nothing for %j', (value) => {
    expect(readNeedsSummary(value)).toBeUndefined();
  });
});

describe('moduleReport', () => {
  it('splits reasons and limits them', () => {
    const reasons = 'model.a\tthe engine packs it\tat once\n\nmodel.b\nmodel.c\tit differs';
    expect(moduleReport({ ...summary, reasons }).reasons).toEqual([
      { module: 'model.a', reason: 'the engine packs it at once' },
      { module: 'model.b', reason: '' },
      { module: 'model.c', reason: 'it differs' },
    ]);
    const many = Array.from({ length: 1000 }, (_, at) => `m${at}\t${'x'.repeat(9000)}`).join('\n');
    const bounded = moduleReport({ ...summary, reasons: many });
    expect(bounded.reasons).toHaveLength(100);
    expect(bounded.reasons[0]!.reason).toHaveLength(300);
    const steering = moduleReport({ ...summary, reasons: 'a\u001b[2J\tb\u0007\r' });
    expect(steering.reasons).toEqual([{ module: 'a [2J', reason: 'b  ' }]);
  });
});

describe('moduleReportText', () => {
  it('groups equal reasons', () => {
    const reasons = 'a\tthe engine packs it\nb\tit differs\nc\tthe engine packs it';
    expect(moduleReportText(moduleReport({ ...summary, reasons }))).toBe(
      '371 of 377 modules direct, 6 staged, 0 opaque: 2 because the engine packs it; 1 because it differs',
    );
  });

  it('is short if all modules are direct, and names representatives', () => {
    const all = { ...summary, modules: 99, direct: 99, staged: 0, represented: 95, kinds: 4 };
    expect(moduleReportText(moduleReport(all))).toBe(
      '99 of 99 modules direct (95 through another module of their kind), 0 staged, 0 opaque',
    );
  });
});
