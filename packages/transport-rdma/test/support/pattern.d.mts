export declare function pattern(sizeBytes: number, seed: number): Uint8Array;
