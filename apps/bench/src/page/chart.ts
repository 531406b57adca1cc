/** A plot with what a reader needs to read it. */
export interface Chart {
  /** A sentence that says what the plot shows. */
  readonly title: string;
  readonly svg: string;
  /** What is drawn, and how to read it. */
  readonly caption: string;
}
