/** Does everything that holds on a database hold through Supabase's API as well? */
import { contractWithFunctions } from "./store-contract.ts";

contractWithFunctions("14.17");
