import { writeOutputFile } from '../output/output-file.ts';
import { loadReport } from './load-report.ts';
import { type EndedUpdate, reportedUpdate } from './reported-update.ts';

/**
 * Writes the page of an update.
 *
 * @returns Why the page cannot be written, or `undefined`. A lost report does not fail the update.
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
