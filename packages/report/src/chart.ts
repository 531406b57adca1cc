/** A plot, with a sentence that describes it. */
export interface Chart {
  readonly title: string;
  readonly svg: string;
  /** How to read the plot. */
  readonly caption: string;
}
