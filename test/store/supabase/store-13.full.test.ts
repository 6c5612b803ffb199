/** The same through the API as projects have it that were not upgraded: does everything hold there, too? */
import { supabaseContract } from "./store-contract.ts";

supabaseContract("13.0.8");
