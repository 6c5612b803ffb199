/** The same through the API as projects have it that were not upgraded: does everything hold there, too? */
import { contractWithFunctions, contractWithout } from "./store-contract.ts";

contractWithFunctions("13.0.8");
contractWithout("13.0.8");
