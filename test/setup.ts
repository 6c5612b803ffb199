/** Vitest runs this before each test file; what it loads is loaded once in a process. */
import { afterAll } from "vitest";
import { keepDatabases, letKeptGo } from "./embedded/kept.ts";

keepDatabases();
afterAll(letKeptGo);
