/** A plot, with the sentence that says what it shows. */
export interface Chart {
  readonly title: string;
  readonly svg: string;
  /** How to read the plot. */
  readonly caption: string;
}
