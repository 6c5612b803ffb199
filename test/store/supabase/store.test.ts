/** Does everything that holds on a database hold through Supabase's API as well? */
import { supabaseContract } from "./store-contract.ts";

supabaseContract("14.17");
