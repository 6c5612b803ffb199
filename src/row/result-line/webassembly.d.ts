/** What is used of WebAssembly, whose types come with the DOM's and not with Node's. */
declare namespace WebAssembly {
  const Module: new (bytes: Uint8Array) => object;
  class Instance {
    constructor(module: object);
    readonly exports: Readonly<Record<string, Memory | Global | ((...values: number[]) => number)>>;
  }
  class Memory {
    readonly buffer: ArrayBuffer;
  }
  class Global {
    value: number;
  }
}
