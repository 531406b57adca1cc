/**
 * A self-contained HTML page about one update.
 *
 * @packageDocumentation
 */

export type { PhaseSpan, RankReport, ReportedUpdate, ReportTable, StageSpan } from './reported-update.ts';
export { updatePage } from './update-page.ts';
