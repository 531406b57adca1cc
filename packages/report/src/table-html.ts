import { escapeHtml } from './escape-html.ts';
import type { ReportTable } from './reported-update.ts';

/** A table with its title and its caption. */
export function tableHtml({ title, head, rows, caption }: ReportTable): string {
  const cell = (text: string, column: number): string =>
    `<td${column > 0 && /^\d/.test(text) ? ' class="number"' : ''}>${escapeHtml(text)}</td>`;
  return `<h2>${escapeHtml(title)}</h2>
<table><thead><tr>${head.map((text) => `<th>${escapeHtml(text)}</th>`).join('')}</tr></thead>
<tbody>${rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('\n')}</tbody></table>
<p class="caption">${escapeHtml(caption)}</p>`;
}
