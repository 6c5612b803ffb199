/** The contract of every store, through the API of one version, with the SQL functions and without. */
import type { UserError } from "../../src/errors.ts";
import { hasNativeServer } from "../postgres/native-database.ts";
import { storeContract } from "../store/contract.ts";
import {
  grantAll,
  openNativeProject,
  openProject,
  type Project,
  VECTOR_SCHEMA,
} from "./project.ts";
import type { PostgrestVersion } from "./version.ts";

const SCHEMAS = ["public", 'My "Schema"'];

export function supabaseContract(version: PostgrestVersion): void {
  const open = (): Promise<Project> =>
    (hasNativeServer ? openNativeProject : openProject)({ version, schemas: SCHEMAS });

  storeContract(
    `the API of PostgREST ${version} with the SQL functions`,
    async () => {
      const project = await open();
      return {
        sql: (statement) => project.database.query(statement),
        open: async (target) => {
          await grantAll(project.database, target);
          // a table that cannot be filled gets no functions; the API's own description has to do
          await project.install(target).catch((error: UserError) => {
            if (error.name !== "UserError") throw error;
          });
          return project.store(target);
        },
        vectorSchema: VECTOR_SCHEMA,
        takeDown: () => project.close(),
      };
    },
    { conditions: true, indexes: true },
  );

  storeContract(
    `the API of PostgREST ${version} without the SQL functions`,
    async () => {
      const project = await open();
      return {
        sql: (statement) => project.database.query(statement),
        open: async (target) => {
          await grantAll(project.database, target);
          return project.store(target);
        },
        vectorSchema: VECTOR_SCHEMA,
        takeDown: () => project.close(),
      };
    },
    { conditions: true, recipes: true, catalogue: true, indexes: true, triggers: true },
  );
}
