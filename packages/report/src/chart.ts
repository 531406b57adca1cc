/** A plot, with a sentence that describes it. */
export interface Chart {
  readonly title: string;
  readonly svg: string;
  /** Explains the plot. */
  readonly caption: string;
}
