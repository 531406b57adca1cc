import process from 'node:process';
import Table from 'cli-table3';
import { type BenchResult, wrongCount } from './result.ts';
import { type View, viewsOf } from './views.ts';

/** Prints a result for a person: the sentence, the machine, the tables. */
export function printResult(result: BenchResult): void {
  const { machine, title, notes = [] } = result;
  const where = [
    machine.device,
    machine.driver && `driver ${machine.driver}`,
    machine.nccl && `NCCL ${machine.nccl}`,
    `${machine.cores} cores`,
    machine.runtime,
    machine.commit && `commit ${machine.commit}`,
  ];
  write(`\n${title}\n${where.filter(Boolean).join(' · ')}\n`);
  for (const view of viewsOf(result)) printView(view);
  for (const note of notes) write(`- ${note}\n`);
  const wrong = wrongCount(result);
  if (wrong > 0) write(`WRONG: ${wrong}\n`);
}

/** Columns are as wide as their text: nothing is cut where the output is read from a file. */
function printView({ title, head, rows }: View): void {
  const table = new Table({
    head: [...head],
    style: { head: [], border: [], compact: true },
    chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
  });
  table.push(...rows.map((row) => [...row]));
  write(`${title}\n${table.toString()}\n`);
}

const write = (text: string): void => {
  process.stdout.write(text);
};
