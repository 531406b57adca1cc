import process from 'node:process';
import Table from 'cli-table3';
import { type BenchResult, wrongCount } from './result.ts';
import { type View, viewsOf } from './views.ts';

/** Prints a result as text: the title, the machine and the tables. In short form, only figures and targets. */
export function printResult(result: BenchResult, brief = false): void {
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
  for (const view of viewsOf(result)) if (!brief || view.isBrief) printView(view);
  if (!brief) for (const note of notes) write(`- ${note}\n`);
  const wrong = wrongCount(result);
  if (wrong > 0) write(`WRONG: ${wrong}\n`);
}

/** No borders, so that the table is readable in a log. */
function printView({ title, head, rows }: View): void {
  const none = { top: '', 'top-mid': '', 'top-left': '', 'top-right': '' };
  const table = new Table({
    head: head.map((text) => text.toUpperCase()),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 0 },
    chars: {
      ...none,
      ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
      ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ' },
    },
  });
  table.push(...rows.map((row) => [...row]));
  write(`\n${title}\n${table.toString().replaceAll(/ +$/gm, '')}\n`);
}

const write = (text: string): void => {
  process.stdout.write(text);
};
