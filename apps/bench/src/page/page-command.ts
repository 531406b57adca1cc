import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { type Command, InvalidArgumentError } from 'commander';
import { parseResult } from '../report/parse-result.ts';

/** Adds `bench page`. */
export function addPageCommand(program: Command): void {
  program
    .command('page')
    .description('a self-contained page with plots, out of results that scenarios wrote with --json')
    .argument('<files...>', 'results')
    .requiredOption('--out <file>', 'the page')
    .action(async (files: readonly string[], { out }: { out: string }) => {
      const results = files.map((file) => {
        const result = parseResult(readFileSync(file, 'utf8'));
        if (result === undefined) throw new InvalidArgumentError(`${file} is not a result of this version of bench`);
        return result;
      });
      // Drawing is loaded only here: measuring needs none of it.
      const { resultPage } = await import('./result-page.ts');
      const page = resultPage(results);
      writeFileSync(out, page);
      process.stdout.write(`${out}: ${(page.length / 1024).toFixed(0)} KiB\n`);
    });
}
