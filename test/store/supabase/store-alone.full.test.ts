/** And does it where the project has none of our functions? */
import { contractWithout } from "./store-contract.ts";

contractWithout("14.17");
