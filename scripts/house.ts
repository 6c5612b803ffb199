/** How the source is laid out, in one line; it fails where a figure is over what it may come to. */
import { figuresOf } from "./figures.ts";
import { sourceTree } from "./source.ts";

const figures = figuresOf(sourceTree());
console.log(`house: ${figures.map(({ name, value }) => `${name} ${value}`).join(", ")}`);
for (const { name, value, max } of figures.filter((figure) => figure.value > figure.max)) {
  console.error(`house: ${name} ${value}, and it may be ${max} at most`);
  process.exitCode = 1;
}
