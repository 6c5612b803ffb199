/** The contract of every store, through the API of one version, with the SQL functions or without. */
import type { UserError } from "../../../src/errors.ts";
import type { Target } from "../../../src/row/target.ts";
import { hasNativeServer } from "../postgres/native-database.ts";
import { type Ground, storeContract } from "../contract.ts";
import {
  grantAll,
  openNativeProject,
  openProject,
  type Project,
  VECTOR_SCHEMA,
} from "./project.ts";
import type { PostgrestVersion } from "./version.ts";

const SCHEMAS = ["public", 'My "Schema"'];

export function contractWithFunctions(version: PostgrestVersion): void {
  storeContract(
    `the API of PostgREST ${version} with the SQL functions`,
    // a table that cannot be filled gets no functions; the API's own description has to do
    ground(version, (project, target) =>
      project.install(target).catch((error: UserError) => {
        if (error.name !== "UserError") throw error;
      }),
    ),
    { conditions: true, indexes: true },
  );
}

export function contractWithout(version: PostgrestVersion): void {
  storeContract(
    `the API of PostgREST ${version} without the SQL functions`,
    ground(version, async () => {}),
    { conditions: true, recipes: true, catalogue: true, indexes: true, triggers: true },
  );
}

/** `prepare`: what is done in the project for a table before its store is opened. */
function ground(
  version: PostgrestVersion,
  prepare: (project: Project, target: Target) => Promise<unknown>,
): () => Promise<Ground> {
  return async () => {
    const open = hasNativeServer ? openNativeProject : openProject;
    const project = await open({ version, schemas: SCHEMAS });
    return {
      sql: (statement: string) => project.database.query(statement),
      open: async (target: Target) => {
        await grantAll(project.database, target);
        await prepare(project, target);
        return project.store(target);
      },
      vectorSchema: VECTOR_SCHEMA,
      takeDown: () => project.close(),
    };
  };
}
