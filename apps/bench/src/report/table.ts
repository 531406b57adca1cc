import process from 'node:process';
import Table from 'cli-table3';

/** Prints rows under a header, to standard output. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const table = new Table({
    head: [...head],
    style: { head: [], border: [] },
    colWidths: [26, 44, 50],
    wordWrap: true,
  });
  table.push(...rows.map((row) => [...row]));
  process.stdout.write(`${table.toString()}\n`);
}
