/**
 * `npm run demo`. The first words come before anything is loaded, which takes seconds on a small machine; the
 * demo itself is `tour.ts`.
 */
console.log("A table of trivia questions gets its vectors, without a key, a server or the");
console.log("network: an emulator stands in for Gemini, and its vectors come from the words");
console.log("of a text, not from a model. Everything else is what you would run.");

const { EXIT_CODES, UserError } = await import("../src/errors.ts");
const { tour } = await import("./tour.ts");

try {
  await tour();
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(`error: ${error.message}\nhint: ${error.hint}`);
  process.exitCode = EXIT_CODES[error.exit];
}
