import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

/** One document makes all plots: there is no browser here. */
const { document } = parseHTML('<html><body></body></html>');

/** What the plots have in common. */
const COMMON: Plot.PlotOptions = {
  width: 1000,
  marginLeft: 90,
  marginRight: 24,
  marginBottom: 42,
  style: { fontSize: '12px', background: 'none' },
};
/** Room for the label below the numbers. */
const X_LABEL: Plot.ScaleOptions = { labelAnchor: 'center', labelOffset: 36 };

/** Draws a plot, legend included, as markup that needs no script. */
export function drawPlot(options: Plot.PlotOptions): string {
  const x = { ...X_LABEL, ...(options.x as Plot.ScaleOptions) };
  const plot = Plot.plot({ ...COMMON, ...options, x, document: document as never });
  return plot.outerHTML;
}
