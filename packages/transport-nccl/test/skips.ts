/** Tests of the compliance suite that NCCL cannot pass, and why. */
export const skip = [
  {
    test: 'mismatch',
    reason:
      'NCCL compares neither sizes nor roots between members, and a comparison of our own would cost a collective for every bucket; the parameter server compares plans by digest before it sends',
  },
];
