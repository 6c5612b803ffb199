#!/usr/bin/env node
// Only syntax that Node 12 can read, so that an old one gets to say that it is too old.
import process from "node:process";

const NEEDED = [22, 18];
const [major, minor] = process.versions.node.split(".").map(Number);

if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  process.stderr.write(
    "vecfill needs Node " +
      NEEDED.join(".") +
      " or newer; this is " +
      process.version +
      ".\n" +
      "hint: Install a current one from https://nodejs.org, then run the same command again.\n",
  );
  process.exitCode = 2;
} else {
  void import("../dist/cli.js").then((cli) => cli.main());
}
