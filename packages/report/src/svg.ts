import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

/** One document for all plots: no browser is needed. */
const { document } = parseHTML('<html><body></body></html>') as unknown as { readonly document: object };

/** Options that all plots share. The background is transparent and text has the color of the page. */
const COMMON: Plot.PlotOptions = {
  width: 1000,
  marginLeft: 90,
  marginRight: 24,
  marginBottom: 42,
  style: { fontSize: '12px', background: 'none', color: 'currentColor' },
};
/** Room for the label below the numbers. */
const X_LABEL: Plot.ScaleOptions = { labelAnchor: 'center', labelOffset: 36 };

/** Draws a plot and its legend as markup that needs no script. */
export function drawPlot(options: Plot.PlotOptions): string {
  const x = { ...X_LABEL, ...(options.x as Plot.ScaleOptions) };
  const plot = Plot.plot({ ...COMMON, ...options, x, document: document as never });
  return plot.outerHTML;
}
