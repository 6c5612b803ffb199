/** Vitest runs this before each test file; what it loads is loaded once in a process. */
import "./embedded/kept.ts";
