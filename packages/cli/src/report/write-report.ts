import { writeOutputFile } from '../output/output-file.ts';
import { loadReport } from './load-report.ts';
import { type EndedUpdate, reportedUpdate } from './reported-update.ts';

/**
 * Writes the page of an update.
 *
 * @returns Why it could not be written; `undefined` when it was. A report that is lost fails no update.
 */
export async function writeReport(path: string, update: EndedUpdate): Promise<string | undefined> {
  try {
    const { updatePage } = await loadReport('--report');
    await writeOutputFile(path, updatePage(reportedUpdate(update)));
    return undefined;
  } catch (error) {
    return `The report could not be written to "${path}": ${(error as Error).message}`;
  }
}
