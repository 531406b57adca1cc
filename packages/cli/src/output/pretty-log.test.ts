import pico from 'picocolors';
import { describe, expect, it } from 'vitest';
import { prettyLogLine } from './pretty-log.ts';
import { rankLogLine } from './rank-log-line.ts';

const colors = pico.createColors(false);

describe('prettyLogLine', () => {
  it('shows time, level, rank, message and fields', () => {
    const line = JSON.stringify({ level: 30, time: 61_007, rank: 2, msg: 'Joined', port: 29500, name: 'a b' });
    expect(prettyLogLine(line, colors)).toMatch(/^\d\d:\d\d:01\.007 INFO {2}rank 2 Joined port=29500 name="a b"$/);
  });

  it('shows the text of an error, and a rank once', () => {
    const err = { code: 'CE_RANK_LOST', message: 'Rank 1 is gone', hint: 'Start it', retryable: false };
    const line = JSON.stringify({ level: 50, time: 1, rank: 1, msg: 'Rank 1 left', err });
    expect(prettyLogLine(line, colors)).toMatch(/ERROR Rank 1 left err="Rank 1 is gone" \(CE_RANK_LOST; Start it\)$/);
  });

  it.each(['plain text', '{"no":"record"}', '{broken'])('does not change %s', (line) =>
    expect(prettyLogLine(line, colors)).toBe(line),
  );
});

describe('rankLogLine', () => {
  it('turns the output of a library into a record', () => {
    expect(JSON.parse(rankLogLine('NCCL WARN bad', 3))).toMatchObject({ level: 40, rank: 3, msg: 'NCCL WARN bad' });
  });

  it("passes the rank's own records on", () => {
    const line = '{"level":30,"time":1,"msg":"x"}';
    expect(rankLogLine(line, 3)).toBe(line);
  });
});
