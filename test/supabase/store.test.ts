/** Does everything that holds on a database hold through Supabase's API as well? */
import type { UserError } from "../../src/errors.ts";
import { storeContract } from "../store/contract.ts";
import { hasNativeServer } from "../postgres/native-database.ts";
import { grantAll, openNativeProject, openProject, VECTOR_SCHEMA } from "./project.ts";

const SCHEMAS = ["public", 'My "Schema"'];
const open = hasNativeServer ? openNativeProject : openProject;

storeContract(
  "Supabase's API with the SQL functions",
  async () => {
    const project = await open({ schemas: SCHEMAS });
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
  "Supabase's API without the SQL functions",
  async () => {
    const project = await open({ schemas: SCHEMAS });
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
